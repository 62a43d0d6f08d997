"""What is wrong with a definition, in sentences: pydantic's findings as paths and words for the person who wrote it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pydantic_core import ErrorDetails

from cohorts.definition.properties import OPERATORS

KINDS = ("property", "event")
# Known to docs/api.md and not to this version.
LATER_KINDS = ("first_time", "cohort", "sequence")
_MAX_ERRORS = 100
_MAX_KEY_CHARACTERS = 60
_Context: TypeAlias = Mapping[str, object]


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong: where, as `definition.groups[0].conditions[1].window.value`, and what to do about it."""

    field: str
    message: str


class InvalidDefinition(ValueError):
    """The definition means nothing; `errors` says why, one sentence a field."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__(" ".join(f"{error.field}: {error.message}" for error in self.errors))


def field_errors(found: Iterable[ErrorDetails]) -> list[FieldError]:
    """Return pydantic's findings as sentences, at most a hundred."""
    return [_field_error(error) for error in list(found)[:_MAX_ERRORS]]


def _field_error(error: ErrorDetails) -> FieldError:
    names = _without_tags(error["loc"])
    below, message = _sentence(error, names)
    return FieldError(_path([*names, *below]), message)


def _without_tags(location: tuple[int | str, ...]) -> list[int | str]:
    """Drop what pydantic adds for the member of a union that a condition, a window or a measure was taken for."""
    names: list[int | str] = []
    is_tag = False
    for part in location:
        if is_tag:
            is_tag = False
            continue
        is_tag = part in ("window", "measure") or (isinstance(part, int) and names[-1:] == ["conditions"])
        names.append(part)
    return names


def _path(names: list[int | str]) -> str:
    path = "definition"
    for name in names:
        if isinstance(name, int):
            path += f"[{name}]"
        else:
            # An unknown key is the sender's own: shown, but not at any length, and never as half a character.
            path += "." + name[:_MAX_KEY_CHARACTERS].encode(errors="replace").decode()
    return path


def _sentence(error: ErrorDetails, names: list[int | str]) -> tuple[list[str], str]:
    """Return the fields below the named one, if it is about one of them, and the sentence."""
    kind = error["type"]
    if kind.startswith("union_tag"):
        return _wrong_tag(error["input"], names)
    context: _Context = error.get("ctx", {})
    if write := _SENTENCES.get(kind):
        return [], write(context)
    if kind == "missing":
        return [], f"Add {names[-1]}: it is required here."
    if kind == "extra_forbidden":
        return [], "Remove this key: nothing of this name is known here."
    if kind == "literal_error":
        choices = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        return [], f"{names[-1]} must be one of {choices}."
    return [], f"{error['msg']}."


def _wrong_tag(raw: object, names: list[int | str]) -> tuple[list[str], str]:
    """Return which of the keys that say what a part is has to change."""
    if not isinstance(raw, dict):
        return [], _OBJECT
    if names[-1:] == ["window"]:
        return ["type"], "type must be one of last, fixed, since, all_time."
    if names[-1:] == ["measure"]:
        return ["type"], (
            "type must be one of total, distinct_days, sum, average, minimum, maximum, median, distinct_count."
        )
    kind = raw.get("kind")
    if kind in KINDS and not (kind == "event" and "filters" in names):
        return ["type"], f"type must be one of {', '.join(OPERATORS)}."
    known = "kind must be property in a filter" if "filters" in names else f"kind must be one of {', '.join(KINDS)}"
    if kind in LATER_KINDS:
        return ["kind"], f"{known}; {kind} is not supported in this version."
    return ["kind"], f"{known}."


_OBJECT = "Give an object in braces."
_SENTENCES: dict[str, Callable[[_Context], str]] = {
    "sentence": lambda context: str(context["sentence"]),
    "string_type": lambda _: "Give a text in quotes.",
    "string_too_short": lambda _: "Give at least one character.",
    "string_too_long": lambda context: f"Shorten this to {context['max_length']} characters: nothing stored is longer.",
    "string_unicode": lambda _: "Give a text that is valid Unicode.",
    "int_type": lambda _: "Give a whole number, such as 30, without quotes.",
    "greater_than_equal": lambda context: f"Give a number of at least {context['ge']}.",
    "bool_type": lambda _: "Give true or false, without quotes.",
    "tuple_type": lambda _: "Give a list in brackets.",
    "too_long": lambda context: f"Give at most {context['max_length']} in the list.",
    "model_type": lambda _: _OBJECT,
    "model_attributes_type": lambda _: _OBJECT,
    "dict_type": lambda _: _OBJECT,
    "invalid_key": lambda _: "Remove this key: it is not a text.",
}
