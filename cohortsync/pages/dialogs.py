"""Dialogs that are pages: opened by a link with `data-dialog`, the server sends the form alone; otherwise a whole page.

Their templates extend `dialog_layout` and fill the blocks body and actions.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django_htmx.http import HttpResponseClientRedirect


def is_dialog(request: HttpRequest) -> bool:
    """Tell whether the answer goes into a part of a page that is already there."""
    return bool(getattr(request, "htmx", False))


def show_dialog(
    request: HttpRequest, template: str, context: Mapping[str, object], *, heading: str, is_refused: bool = False
) -> HttpResponse:
    """Return the form, as a dialog or as a page; 422 when what was sent is refused."""
    layout = "layouts/dialog.html" if is_dialog(request) else "layouts/dialog_page.html"
    frame = {"dialog_layout": layout, "heading": heading}
    return render(request, template, {**context, **frame}, status=422 if is_refused else 200)


def go(request: HttpRequest, url: str) -> HttpResponse:
    """Send the browser to another page, also out of a dialog."""
    return HttpResponseClientRedirect(url) if is_dialog(request) else redirect(url)
