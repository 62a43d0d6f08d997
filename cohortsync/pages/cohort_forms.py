"""Writing a cohort: its name, who sees it, its definition in the builder or as JSON.

The builder is `definition_form/`; saving is `cohorts/catalog.py`. A button of the builder only shows the form again.
"""

from __future__ import annotations

from dataclasses import dataclass

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import path
from django.utils import timezone

from cohorts.access import Action, Actor
from cohorts.catalog import InvalidCohort, cohort_for, create_cohort, update_cohort
from cohorts.counting import count_cohort, default_match_property
from cohorts.definition import InvalidDefinition
from cohorts.lexicon import event_names, profile_properties
from cohorts.models import Cohort
from cohortsync.pages.access import REFUSALS, page
from cohortsync.pages.definition_form import (
    DefinitionForm,
    JsonDefinitionForm,
    is_edit,
    means_the_same,
    posted_form,
    stored_form,
)
from cohortsync.pages.dialogs import is_dialog
from integrations.syncs import cohort_changed

# Saving counts the cohort for the list; a slow one is saved without a size.
COUNT_ON_SAVING_SECONDS = 5.0


class CohortForm(forms.Form):
    """What a cohort is called and who sees it."""

    name = forms.CharField(max_length=255, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
    visibility = forms.ChoiceField(
        label="Who sees it",
        choices=[(Cohort.Visibility.PRIVATE, "Only me"), (Cohort.Visibility.PROJECT, "Everybody in the project")],
        initial=Cohort.Visibility.PRIVATE,
    )


@dataclass
class Writing:
    """The two halves of the page: the cohort's fields and its definition."""

    fields: CohortForm
    definition: DefinitionForm | JsonDefinitionForm


@page(Action.WRITE_COHORTS)
def new(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """Write a new cohort."""
    return _write(request, actor, None)


@page(Action.WRITE_COHORTS)
def edit(request: HttpRequest, actor: Actor, cohort_id: int) -> HttpResponseBase:
    """Change a cohort; its live syncs follow at once."""
    return _write(request, actor, cohort_for(actor, cohort_id))


def _write(request: HttpRequest, actor: Actor, cohort: Cohort | None) -> HttpResponse:
    names = {"property_names": profile_properties(actor.project), "event_names": event_names(actor.project)}
    if request.method != "POST":
        definition = stored_form(cohort.definition, **names) if cohort else DefinitionForm.blank(**names)
        return _show(request, cohort, Writing(CohortForm(initial=_initial(cohort)), definition))
    definition = posted_form(request.POST, **names)
    action = request.POST.get("action", "")
    if is_edit(action):
        changed = definition.after(action)
        if is_dialog(request):
            return render(request, changed.template_name, {"definition_form": changed, "form": changed})
        # Not bound: nothing is saved, so nothing is wrong yet.
        return _show(request, cohort, Writing(CohortForm(initial=request.POST.dict()), changed))
    writing = Writing(CohortForm(request.POST), definition)
    # Both are asked, so that everything wrong is shown at once; the first of it has the focus.
    are_right = [writing.fields.is_valid(), writing.definition.is_valid()]
    if not are_right[0] and isinstance(writing.definition, DefinitionForm):
        writing.definition.focus = ""
    if all(are_right):
        saved = _save(actor, cohort, writing)
        if saved:
            messages.success(request, _what_happened(saved, is_new=cohort is None))
            return redirect("cohort", actor.project.pk, saved.pk)
    return _show(request, cohort, writing, is_refused=True)


def _save(actor: Actor, cohort: Cohort | None, writing: Writing) -> Cohort | None:
    """Store the cohort and count it; None when a rule of the catalogue forbids it, which then stands at the field."""
    fields, definition = writing.fields.cleaned_data, writing.definition.raw()
    if cohort is not None and means_the_same(definition, cohort.definition):
        # The builder writes out what the API may leave out; that alone is no new version.
        definition = cohort.definition
    try:
        if cohort is None:
            saved = create_cohort(project=actor.project, definition=definition, by=actor.user, **fields)
        else:
            # One transaction, so that no sync goes on with a definition that is gone.
            with transaction.atomic():
                change = update_cohort(cohort=cohort, by=actor.user, definition=definition, **fields)
                cohort_changed(
                    cohort=change.cohort,
                    is_redefined=change.is_redefined,
                    is_renamed=change.is_renamed,
                    now=timezone.now(),
                )
            saved = change.cohort
    except InvalidCohort as error:
        writing.fields.add_error(error.field if error.field in writing.fields.fields else None, error.sentence)
        return None
    except InvalidDefinition as error:
        writing.fields.add_error(None, str(error))
        return None
    _count(actor, saved)
    return saved


def _count(actor: Actor, cohort: Cohort) -> None:
    try:
        count_cohort(
            cohort=cohort,
            match_property=default_match_property(actor.project),
            timeout_seconds=COUNT_ON_SAVING_SECONDS,
        )
    except REFUSALS:
        # It is saved all the same; the list shows no size until somebody counts it.
        return
    cohort.refresh_from_db(fields=["count", "counted_at"])


def _what_happened(cohort: Cohort, *, is_new: bool) -> str:
    done = "is saved" if is_new else "is changed"
    if cohort.count is None:
        return f"{cohort.name} {done}."
    return f"{cohort.name} {done}: {cohort.count:,} member{'' if cohort.count == 1 else 's'} now."


def _initial(cohort: Cohort | None) -> dict[str, object]:
    if cohort is None:
        return {}
    return {"name": cohort.name, "description": cohort.description, "visibility": cohort.visibility}


def _show(request: HttpRequest, cohort: Cohort | None, writing: Writing, *, is_refused: bool = False) -> HttpResponse:
    context = {
        "section": "cohorts",
        "cohort": cohort,
        "form": writing.fields,
        "definition_form": writing.definition,
        "live_syncs": cohort.syncs.filter(status="active").count() if cohort else 0,
    }
    return render(request, "cohorts/edit.html", context, status=422 if is_refused else 200)


urlpatterns = [
    path("new/", new, name="cohort-new"),
    path("<int:cohort_id>/edit/", edit, name="cohort-edit"),
]
