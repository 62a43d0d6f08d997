"""The operations of a profile update, for persons and groups: raw values -> typed ones (step 1; contract, 1.8)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from cohorts.messages import Add, Append, Delete, Operation, Remove, Set, SetOnce, Union, Unset
from cohorts.refusals import Reason, RecordRefused
from cohorts.values import MAX_PROFILE_VALUE_BYTES, JsonValue, Properties, clean_properties, clean_text


def read_operations(envelope: Properties, *, taken: Collection[str]) -> tuple[Operation, ...]:
    """Return a record's operations in the order in which Mixpanel applies them. Raises RecordRefused.

    `taken` are those that the endpoint takes.
    """
    operations = []
    for name, read in _READERS.items():
        if name not in envelope:
            continue
        if name not in taken:
            raise RecordRefused(
                Reason.OPERATION_UNSUPPORTED,
                name,
                f"'{name}' is no operation on group profiles: use one of {', '.join(taken)}",
            )
        operations.append(read(envelope[name]))
    if not operations:
        raise RecordRefused(Reason.OPERATION_MALFORMED, "", f"the record holds no operation: one of {', '.join(taken)}")
    return tuple(operations)


def _set(value: JsonValue) -> Set:
    return Set(_properties("$set", value))


def _set_once(value: JsonValue) -> SetOnce:
    return SetOnce(_properties("$set_once", value))


def _add(value: JsonValue) -> Add:
    amounts: dict[str, int | float] = {}
    for name, amount in _properties("$add", value).items():
        if isinstance(amount, bool) or not isinstance(amount, int | float):
            raise _malformed(f"$add.{name}", "must be a number")
        amounts[name] = amount
    return Add(amounts)


def _append(value: JsonValue) -> Append:
    return Append(_properties("$append", value))


def _union(value: JsonValue) -> Union:
    lists: dict[str, list[JsonValue]] = {}
    for name, values in _properties("$union", value).items():
        if not isinstance(values, list):
            raise _malformed(f"$union.{name}", "must be a list of values")
        lists[name] = values
    return Union(lists)


def _remove(value: JsonValue) -> Remove:
    properties = _properties("$remove", value)
    for name, removed in properties.items():
        if isinstance(removed, list | dict):
            raise _malformed(f"$remove.{name}", "must be one text, number or boolean")
    return Remove(properties)


def _unset(value: JsonValue) -> Unset:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise _malformed("$unset", "must be a list of property names")
    return Unset(tuple(clean_text(str(name)) for name in value))


def _delete(_value: JsonValue) -> Delete:
    # Mixpanel: SDKs send "", null, {} or "null"; all of them mean it.
    return Delete()


def _properties(operation: str, value: JsonValue) -> Properties:
    if not isinstance(value, dict):
        raise _malformed(operation, "must be an object of properties")
    return clean_properties(value, field=operation, max_value_bytes=MAX_PROFILE_VALUE_BYTES)


def _malformed(field: str, words: str) -> RecordRefused:
    return RecordRefused(Reason.OPERATION_MALFORMED, field, f"'{field}' is invalid: {words}")


# In the order in which Mixpanel applies several operations of one record.
_READERS: dict[str, Callable[[JsonValue], Operation]] = {
    "$set": _set,
    "$set_once": _set_once,
    "$add": _add,
    "$append": _append,
    "$union": _union,
    "$remove": _remove,
    "$unset": _unset,
    "$delete": _delete,
}
PERSON_OPERATIONS = tuple(_READERS)
GROUP_OPERATIONS = tuple(name for name in _READERS if name not in {"$add", "$append"})
