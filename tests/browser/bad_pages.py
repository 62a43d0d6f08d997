"""Pages made to go wrong, and one that is not; the product's middleware serves them under the product's CSP."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import path

PAGE = """<!doctype html><html lang="en"><head><title>A page</title><link rel="stylesheet" href="/page.css"></head>
<body><main><h1>A page</h1>{}</main></body></html>"""
STYLE = ".faint { color: #ccc; background: #fff } .wide { width: 2000px } @media print { main { display: none } }"
# What stands in the body, by the page's name.
BODIES = {
    "good": "<p>Nothing is wrong.</p>",
    "inline-script": "<script>document.title = 'It ran'</script>",
    "inline-style": "<p style='color: red'>Red</p>",
    "inline-handler": "<button onclick='document.title = 1'>Go</button>",
    "picture-from-elsewhere": "<img alt='' src='http://pictures.example.com/1.png'>",
    "link-to-elsewhere": "<a href='http://elsewhere.example.com/'>Go</a>",
    "broken-script": "<script src='/broken.js'></script>",
    "missing-script": "<script src='/missing.js'></script>",
    "no-label": "<form><input name='city'></form>",
    "faint": "<p class='faint'>Hardly to be read</p>",
    "wide": "<p class='wide'>Too wide for any screen</p>",
}
BODIES["all"] = "".join(BODIES[name] for name in ("inline-style", "broken-script", "no-label", "faint", "wide"))


@login_not_required
def show(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(PAGE.format(BODIES[name]))


@login_not_required
def style(request: HttpRequest) -> HttpResponse:
    return HttpResponse(STYLE, content_type="text/css")


@login_not_required
def broken(request: HttpRequest) -> HttpResponse:
    return HttpResponse("absent.value = 1", content_type="text/javascript")


@login_not_required
def missing(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=404, content_type="text/javascript")


def whoami(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE.format(f"<p id='user'>{request.user}</p>"))


urlpatterns = [
    path("page.css", style),
    path("broken.js", broken),
    path("missing.js", missing),
    path("whoami/", whoami),
    path("<str:name>/", show),
]
