"""The form in which a member writes a cohort's definition, as a builder or as JSON; `docs/api.md` has what it writes.

`draft.py` is what was typed, in texts; `posted.py` and `stored.py` make one from a request and from a definition,
`actions.py` changes one, `raw.py` turns one into a definition. `rows.py` lays it out for `templates/cohorts/form/`,
`complaints.py` finds the input that a sentence is about. `forms.py` has the two forms.

    form = posted_form(request.POST, property_names=..., event_names=...)
    if is_edit(action):
        form = form.after(action)     # one of the form's own buttons: show it again
    elif form.is_valid():
        save(form.raw())
    render(request, form.template_name, {"definition_form": form})
"""

from cohortsync.pages.definition_form.actions import is_edit
from cohortsync.pages.definition_form.forms import (
    DefinitionForm,
    JsonDefinitionForm,
    can_express,
    posted_form,
    stored_form,
)
from cohortsync.pages.definition_form.stored import means_the_same

__all__ = [
    "DefinitionForm",
    "JsonDefinitionForm",
    "can_express",
    "is_edit",
    "means_the_same",
    "posted_form",
    "stored_form",
]
