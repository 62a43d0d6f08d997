"""The two forms, each able to become the other: the builder, and the JSON that says what the builder cannot show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TypeAlias

from django.http import QueryDict

from cohorts.definition import FieldError, InvalidDefinition, parse_definition
from cohorts.definition.values import MAX_CONDITIONS
from cohortsync.pages.definition_form.actions import apply
from cohortsync.pages.definition_form.complaints import complaints_about
from cohortsync.pages.definition_form.controls import Control
from cohortsync.pages.definition_form.draft import Draft
from cohortsync.pages.definition_form.json_text import read_object, write_object
from cohortsync.pages.definition_form.posted import draft_from_post
from cohortsync.pages.definition_form.raw import Complaint, Raw, raw_of
from cohortsync.pages.definition_form.rows import Layout, layout
from cohortsync.pages.definition_form.sentences import EVENT_NAMES_ID, PROPERTY_NAMES_ID
from cohortsync.pages.definition_form.settled import settled
from cohortsync.pages.definition_form.stored import draft_from_definition, means_the_same

# In which form a definition was sent, and where its JSON stands.
FORMAT_NAME = "definition_format"
JSON_NAME = "definition"


class DefinitionForm:
    """A definition as sentences of inputs. What is wrong is shown after `is_valid` was asked.

    The names are offered where a property of a profile, or an event, is typed.
    """

    template_name = "cohorts/form/builder.html"
    property_names_id = PROPERTY_NAMES_ID
    event_names_id = EVENT_NAMES_ID
    max_conditions = MAX_CONDITIONS

    def __init__(
        self,
        draft: Draft,
        *,
        property_names: Sequence[str] = (),
        event_names: Sequence[str] = (),
        focus: str = "",
    ) -> None:
        self.draft = draft
        self.property_names = property_names
        self.event_names = event_names
        self.focus = focus
        self._complaints: list[Complaint] = []

    @classmethod
    def blank(cls, *, property_names: Sequence[str] = (), event_names: Sequence[str] = ()) -> DefinitionForm:
        """Return the form of a new cohort: one condition to fill in."""
        return cls(Draft(), property_names=property_names, event_names=event_names)

    @classmethod
    def from_definition(
        cls, raw: Mapping[str, object], *, property_names: Sequence[str] = (), event_names: Sequence[str] = ()
    ) -> DefinitionForm:
        """Return the form that shows a definition. Raises InvalidDefinition; ask `can_express` first."""
        draft = draft_from_definition(parse_definition(raw))
        return cls(draft, property_names=property_names, event_names=event_names)

    @classmethod
    def from_post(
        cls, data: QueryDict, *, property_names: Sequence[str] = (), event_names: Sequence[str] = ()
    ) -> DefinitionForm:
        """Return the form as it was sent, whatever was sent."""
        return cls(draft_from_post(data), property_names=property_names, event_names=event_names)

    def after(self, action: str) -> Form:
        """Return the form after one of its buttons; nothing typed is lost."""
        if action == "as-json":
            return self._as_json()
        edit = apply(settled(self.draft), action)
        return DefinitionForm(
            edit.draft, property_names=self.property_names, event_names=self.event_names, focus=edit.focus
        )

    def raw(self) -> Raw:
        """Return the definition in the API's shape; it can be saved if the form is valid."""
        return raw_of(self.draft)[0]

    def is_valid(self) -> bool:
        """Check the definition; what is wrong stands beside its input from now on, and the first has the focus."""
        self._complaints = complaints_about(self.draft)
        self.__dict__.pop("layout", None)
        if self.wrong_controls:
            self.focus = self.wrong_controls[0].id
        return not self._complaints

    @property
    def errors(self) -> dict[str, tuple[str, ...]]:
        """What is wrong, by the name of the input."""
        found: dict[str, tuple[str, ...]] = {}
        for complaint in self._complaints:
            sentences = (*found.get(complaint.name, ()), complaint.sentence)
            found[complaint.name] = tuple(dict.fromkeys(sentences))
        return found

    @property
    def errors_at_the_top(self) -> list[str]:
        """What is wrong with no input in particular."""
        shown = {control.name for control in self.layout.controls}
        return [sentence for name, sentences in self.errors.items() if name not in shown for sentence in sentences]

    @property
    def wrong_controls(self) -> list[Control]:
        """The inputs with something wrong."""
        return [control for control in self.layout.controls if control.sentences]

    @cached_property
    def layout(self) -> Layout:
        """The rows of inputs."""
        return layout(self.draft, self.errors)

    def sent(self) -> Iterable[tuple[str, str]]:
        """Return what a browser would send of the form as it is shown."""
        yield from ((control.name, control.sent) for control in self.layout.controls)
        yield from self.layout.hidden

    def _as_json(self) -> Form:
        raw, unreadable = raw_of(self.draft)
        if unreadable:
            # JSON has no place for what is no number yet; here the sentence stands beside it.
            self.is_valid()
            return self
        return JsonDefinitionForm(write_object(raw), property_names=self.property_names, event_names=self.event_names)


class JsonDefinitionForm:
    """A definition as JSON in one text area. What is wrong is shown after `is_valid` was asked."""

    template_name = "cohorts/form/json.html"
    format = "json"

    def __init__(self, text: str, *, property_names: Sequence[str] = (), event_names: Sequence[str] = ()) -> None:
        self.text = text
        # For the builder that it may become.
        self.property_names = property_names
        self.event_names = event_names
        self.errors: list[FieldError] = []

    def after(self, action: str) -> Form:
        """Return the form after its button; what the builder cannot take stays here, with the reason."""
        if action != "as-form" or not self.is_valid():
            return self
        if can_express(self.raw()):
            return DefinitionForm.from_definition(
                self.raw(), property_names=self.property_names, event_names=self.event_names
            )
        self.errors = [FieldError("", "The builder cannot show a name with a line break; go on with this JSON.")]
        return self

    def raw(self) -> Raw:
        """Return the definition. Raises ValueError unless the form is valid."""
        return read_object(self.text)

    def is_valid(self) -> bool:
        """Check the definition; what is wrong is shown from now on."""
        self.errors = []
        try:
            parse_definition(self.raw())
        except InvalidDefinition as error:
            self.errors = list(error.errors)
        except ValueError as error:
            self.errors = [FieldError("", str(error))]
        return not self.errors

    @property
    def line_count(self) -> int:
        """How many lines are shown."""
        return min(40, max(12, self.text.count("\n") + 2))


Form: TypeAlias = DefinitionForm | JsonDefinitionForm


def can_express(raw: Mapping[str, object]) -> bool:
    """Tell whether the builder can show this definition and give it back unchanged.

    It cannot when a name holds a line break, and when this version does not know the definition.
    """
    try:
        form = DefinitionForm.from_definition(raw)
    except InvalidDefinition:
        return False
    data = QueryDict(mutable=True)
    for name, value in form.sent():
        data[name] = value
    again = DefinitionForm.from_post(data)
    return again.is_valid() and means_the_same(again.raw(), raw)


def stored_form(
    raw: Mapping[str, object], *, property_names: Sequence[str] = (), event_names: Sequence[str] = ()
) -> Form:
    """Return the form for a saved definition: the builder, or JSON where the builder would change it."""
    if can_express(raw):
        return DefinitionForm.from_definition(raw, property_names=property_names, event_names=event_names)
    return JsonDefinitionForm(write_object(raw), property_names=property_names, event_names=event_names)


def posted_form(data: QueryDict, *, property_names: Sequence[str] = (), event_names: Sequence[str] = ()) -> Form:
    """Return the form that was sent."""
    if data.get(FORMAT_NAME) == JsonDefinitionForm.format:
        return JsonDefinitionForm(data.get(JSON_NAME, ""), property_names=property_names, event_names=event_names)
    return DefinitionForm.from_post(data, property_names=property_names, event_names=event_names)
