"""Requests and answers as the sandbox sees them; `answering.py` makes and sends them, `calls/` reads and gives them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

import orjson

JSON_HEADERS = ((b"content-type", b"application/json; charset=utf-8"),)

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class Answer:
    """A status, a body and headers, ready to be sent."""

    status: int
    body: bytes = b""
    headers: Headers = JSON_HEADERS


class Refusal(Exception):
    """An answer that ends a call early."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Malformed(Exception):
    """A request that cannot be accepted as it is written; each family of endpoints words its 400 in its own way."""

    def __init__(self, sentence: str, *, code: str = "request-0", meta: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code
        self.meta = meta


@dataclass(slots=True)
class Request:
    """One request; `origin` is this server's own address (`http://127.0.0.1:8001`)."""

    method: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    origin: str

    def header(self, name: bytes) -> str | None:
        """Return the first header of this lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    def query_values(self) -> dict[str, str]:
        """Return the query's values by name, the last one where a name comes twice."""
        return dict(parse_qsl(self.query.decode("latin-1"), keep_blank_values=True))

    def json_object(self) -> dict[str, object]:
        """Return the body as an object. Raises Malformed."""
        try:
            body: object = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise Malformed("The request body is not valid JSON.") from None
        return as_object(body, "The request body")


def json_answer(status: int, body: object) -> Answer:
    """Return an answer with a JSON body."""
    return Answer(status, orjson.dumps(body))


def as_object(value: object, name: str) -> dict[str, object]:
    """Return `value` if it is a JSON object. Raises Malformed naming it."""
    if not isinstance(value, dict):
        raise Malformed(f"{name} must be an object.")
    return value


def object_field(body: Mapping[str, object], name: str) -> dict[str, object]:
    """Return an object inside `body`; one that is absent is empty. Raises Malformed."""
    return as_object(body.get(name, {}), name)


def text_field(body: Mapping[str, object], name: str) -> str | None:
    """Return a string inside `body`, None when absent. Raises Malformed on another type or on NUL."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Malformed(f"{name} must be a string.")
    if "\0" in value:
        raise Malformed(f"{name} must not hold a NUL character.")
    return value


def written_moment(seconds: float) -> str:
    """Return a time in seconds since 1970 as OneSignal writes it: `2022-07-23T13:44:10.324Z`."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def basic_error(status: int, *sentences: str, **more: object) -> Answer:
    """Return OneSignal's first error envelope (contract/onesignal.md, 1.2): `{"errors": ["..."]}`."""
    return json_answer(status, {**more, "errors": list(sentences)})


def structured_error(status: int, code: str, title: str, meta: Mapping[str, object] | None = None) -> Answer:
    """Return OneSignal's second error envelope: `{"errors": [{"code", "title", "meta"?}]}`."""
    error: dict[str, object] = {"code": code, "title": title}
    if meta is not None:
        error["meta"] = dict(meta)
    return json_answer(status, {"errors": [error]})


def with_retry_after(answer: Answer, *, seconds: int) -> Answer:
    """Return the answer with a Retry-After header."""
    return Answer(answer.status, answer.body, (*answer.headers, (b"retry-after", str(seconds).encode())))
