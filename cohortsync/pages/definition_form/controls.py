"""One input of the form as its template shows it, and the maker that knows what it holds and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cohortsync.pages.definition_form.words import Choices

Widget: TypeAlias = Literal["select", "text", "date", "lines"]

# What a browser's date input shows; it hides any other text.
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Control:
    """An input with its label. `width` is a class of builder.css; `is_refreshing`: its value decides what is shown."""

    name: str
    label: str
    widget: Widget
    value: str
    choices: Choices = ()
    sentences: tuple[str, ...] = ()
    width: str = ""
    hint: str = ""
    help: str = ""
    names_id: str = ""
    is_refreshing: bool = False
    is_number: bool = False

    @property
    def id(self) -> str:
        """The id of the element."""
        return f"id_{self.name}"

    @property
    def type(self) -> str:
        """The type of the input element; a text that is no date stays visible as a text."""
        return "date" if self.widget == "date" and (not self.value or _DATE.fullmatch(self.value)) else "text"

    @property
    def described_by(self) -> str:
        """The ids of the help and of the errors, where there are any."""
        ids = [f"{self.id}-help"] * bool(self.help) + [f"{self.id}-error"] * bool(self.sentences)
        return " ".join(ids)

    @property
    def rows(self) -> int:
        """How many lines are shown."""
        return min(8, max(1, self.value.count("\n") + 1))

    @property
    def sent(self) -> str:
        """What a browser sends: of line breaks, a line input keeps none and a text area makes two characters."""
        if self.widget == "select":
            known = [value for value, _ in self.choices]
            return self.value if self.value in known else known[0]
        return _BREAK.sub("\r\n" if self.widget == "lines" else "", self.value)


@dataclass(frozen=True)
class Word:
    """A word of the sentence between two inputs."""

    word: str


Part: TypeAlias = Control | Word


@dataclass(frozen=True)
class Maker:
    """Makes the inputs of one place in the form, such as a condition."""

    place: str
    values: Mapping[str, str]
    complaints: Mapping[str, tuple[str, ...]]

    def select(
        self, name: str, label: str, choices: Choices, *, is_refreshing: bool = False, width: str = ""
    ) -> Control:
        """Return a choice."""
        full = self.name_of(name)
        return Control(
            full,
            label,
            "select",
            self.values[name],
            choices=choices,
            sentences=self.complaints.get(full, ()),
            width=width,
            is_refreshing=is_refreshing,
        )

    def text(
        self, name: str, label: str, *, width: str = "", hint: str = "", help_: str = "", names_id: str = ""
    ) -> Control:
        """Return a line of text; `names_id` is the list of known names to choose from."""
        return self._input(name, label, "text", width=width, hint=hint, help_=help_, names_id=names_id)

    def number(self, name: str, label: str, *, hint: str = "") -> Control:
        """Return a line for a number, typed as a text, so that what is none can be shown again."""
        return self._input(name, label, "text", width="is-short", hint=hint, is_number=True)

    def date(self, name: str, label: str) -> Control:
        """Return a day."""
        return self._input(name, label, "date", width="is-date")

    def lines(self, name: str, label: str, *, help_: str) -> Control:
        """Return several lines of text."""
        return self._input(name, label, "lines", width="is-long", help_=help_)

    def name_of(self, name: str) -> str:
        """Return the full name of an input."""
        return f"{self.place}-{name}" if self.place else name

    def _input(
        self,
        name: str,
        label: str,
        widget: Widget,
        *,
        width: str = "",
        hint: str = "",
        help_: str = "",
        names_id: str = "",
        is_number: bool = False,
    ) -> Control:
        full = self.name_of(name)
        return Control(
            full,
            label,
            widget,
            self.values[name],
            sentences=self.complaints.get(full, ()),
            width=width,
            hint=hint,
            help=help_,
            names_id=names_id,
            is_number=is_number,
        )
