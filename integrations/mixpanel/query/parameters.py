"""A query's parameters, from its address and its body -> what is asked for (contract, 5.8).

What would change the answer and cannot be done is refused with what to do instead; what changes nothing is ignored.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from cohorts.access import Actor, NotFound
from cohorts.catalog import cohort_for
from cohorts.definition import Definition, InvalidDefinition, parse_definition
from cohorts.expressions import Expression, ExpressionError
from cohorts.identity import text_of_id
from cohorts.people_sessions import PeopleQuestion
from cohorts.times import epoch_time
from cohorts.values import JsonValue
from integrations.mixpanel.body import read_form
from integrations.mixpanel.query.where import parse_where

MAX_DISTINCT_IDS = 2000
MAX_OUTPUT_PROPERTIES = 2000
_MAX_PAGE = 10_000_000
# What decides who is found. `as_of_timestamp` is not among it: clients compute it anew for each page.
_SELECTING = ("distinct_id", "distinct_ids", "where", "selector", "filter_by_cohort", "include_all_users")
_COHORT_FORMS = 'filter_by_cohort is {"id": 12345} with a cohort of this project, or {"raw_cohort": {definition}}.'


class InvalidQuery(ValueError):
    """The parameters ask for nothing that can be answered; the message is one sentence."""


@dataclass(frozen=True)
class PageAsked:
    """Which page of which session, with which properties; no session: of a new one."""

    session: str | None
    number: int
    names: list[str] | None
    # None: nothing is selected besides.
    question_hash: str | None


Parameters = Mapping[str, str]


def read_parameters(*, query: bytes, body: bytes, content_type: str) -> Parameters:
    """Return the parameters of the address and of the body, a form or a JSON object; the body's win.

    Raises InvalidQuery.
    """
    if content_type.lower().startswith("multipart/"):
        raise InvalidQuery("Send the parameters as application/x-www-form-urlencoded; multipart is not read.")
    form = read_form(query=query, body=body)
    if not form.data:
        return form.parameters
    fields = _json("The body", form.data)
    if not isinstance(fields, dict):
        raise InvalidQuery("A body in JSON is an object with the parameters.")
    return {**form.parameters, **{name: _text(name, value) for name, value in fields.items()}}


def read_page(parameters: Parameters) -> PageAsked:
    """Return the page asked for. Raises InvalidQuery."""
    session = parameters.get("session_id") or None
    number = _whole_number("page", parameters.get("page") or "0", most=_MAX_PAGE)
    if number > 0 and session is None:
        raise InvalidQuery("page above 0 needs the session_id that the answer to page 0 gave.")
    names = None
    if text := parameters.get("output_properties"):
        found = _json("output_properties", text)
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise InvalidQuery('output_properties is a JSON list of property names, such as ["$email", "plan"].')
        if len(found) > MAX_OUTPUT_PROPERTIES:
            raise InvalidQuery(f"output_properties names at most {MAX_OUTPUT_PROPERTIES} properties.")
        names = [str(name).replace("\0", "") for name in found]
    _refuse_unsupported(parameters)
    selecting = {name: parameters[name] for name in _SELECTING if parameters.get(name)}
    digest = hashlib.sha256(orjson.dumps(selecting, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return PageAsked(
        session=session,
        number=number,
        names=names,
        question_hash=digest if selecting or session is None else None,
    )


def read_question(parameters: Parameters, *, actor: Actor) -> PeopleQuestion:
    """Return whom the parameters ask for; a cohort must be one that the actor sees. Raises InvalidQuery."""
    definition = _definition(parameters, actor)
    return PeopleQuestion(
        definition=definition,
        distinct_ids=_distinct_ids(parameters),
        where=_where(parameters),
        # Mixpanel: without a cohort, /engage queries profiles; with one, all its members unless told otherwise.
        has_profile=not _is_on("include_all_users", parameters, default=definition is not None),
    )


def read_as_of(parameters: Parameters, *, now: dt.datetime) -> dt.datetime:
    """Return the moment a cohort is resolved at, now or earlier. Raises InvalidQuery."""
    text = parameters.get("as_of_timestamp")
    if not text:
        return now
    moment = epoch_time(text)
    if moment is None:
        raise InvalidQuery("as_of_timestamp is a number of seconds since 1970.")
    # mixpanel-utils adds the offset of the project's timezone, which may lead into the future.
    return min(moment, now)


def _refuse_unsupported(parameters: Parameters) -> None:
    if parameters.get("behaviors"):
        if parameters.get("filter_by_cohort"):
            raise InvalidQuery("behaviors and filter_by_cohort exclude each other: give filter_by_cohort alone.")
        raise InvalidQuery(
            'behaviors is not supported: say the same as a cohort, in filter_by_cohort={"raw_cohort": {definition}}.'
        )
    if parameters.get("data_group_id"):
        raise InvalidQuery("data_group_id is not supported: there are profiles of users only; leave it out.")
    if parameters.get("where") and parameters.get("selector"):
        raise InvalidQuery("selector is the older name of where: give one of them.")


def _definition(parameters: Parameters, actor: Actor) -> Definition | None:
    text = parameters.get("filter_by_cohort")
    if not text:
        return None
    asked = _json("filter_by_cohort", text)
    if not isinstance(asked, dict) or len(asked) != 1:
        raise InvalidQuery(_COHORT_FORMS)
    try:
        if "raw_cohort" in asked:
            return parse_definition(asked["raw_cohort"])
        cohort_id = _cohort_id(asked.get("id"))
        return parse_definition(cohort_for(actor, cohort_id).definition)
    except NotFound as error:
        raise InvalidQuery(f"filter_by_cohort: {error.sentence}") from error
    except InvalidDefinition as error:
        raise InvalidQuery(f"filter_by_cohort: {error}") from error


def _cohort_id(value: JsonValue) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 19 else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 2**63:
        raise InvalidQuery(_COHORT_FORMS)
    return number


def _distinct_ids(parameters: Parameters) -> list[str] | None:
    ids: list[str] = []
    if text := parameters.get("distinct_ids"):
        found = _json("distinct_ids", text)
        if not isinstance(found, list):
            raise InvalidQuery('distinct_ids is a JSON list of ids, such as ["id1", "id2"].')
        if len(found) > MAX_DISTINCT_IDS:
            raise InvalidQuery(
                f"distinct_ids names at most {MAX_DISTINCT_IDS} ids, and these are {len(found)}: use more queries."
            )
        for value in found:
            distinct_id = text_of_id(value)
            if distinct_id is None:
                raise InvalidQuery("distinct_ids is a JSON list of ids, each a text or a number.")
            ids.append(distinct_id)
        if not parameters.get("distinct_id"):
            return ids
    if distinct_id := parameters.get("distinct_id"):
        # Both given: of whom both say.
        return [each for each in [distinct_id.replace("\0", "")] if not parameters.get("distinct_ids") or each in ids]
    return None


def _where(parameters: Parameters) -> Expression | None:
    for name in ("where", "selector"):
        if text := parameters.get(name):
            try:
                return parse_where(text)
            except ExpressionError as error:
                raise InvalidQuery(f"{name}: {error}") from error
    return None


def _is_on(name: str, parameters: Parameters, *, default: bool) -> bool:
    text = parameters.get(name, "").lower()
    if not text:
        return default
    if text not in ("true", "false", "1", "0"):
        raise InvalidQuery(f"{name} is true or false.")
    return text in ("true", "1")


def _whole_number(name: str, text: str, *, most: int) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 12 or int(text) > most:
        raise InvalidQuery(f"{name} is a whole number from 0 to {most}.")
    return int(text)


def _text(name: str, value: JsonValue) -> str:
    """Return a parameter as a form would have it."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise InvalidQuery(f"{name[:60]} is nested too deeply.") from error


def _json(name: str, text: str | bytes) -> JsonValue:
    try:
        value: JsonValue = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidQuery(f"{name} is not valid JSON: {error.msg}.") from error
    return value
