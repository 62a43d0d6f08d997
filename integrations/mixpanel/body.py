"""A request's bytes -> parameters and raw records, whatever form the SDK chose (step 1; contract, 1.2).

Records of one request do not share a fate: where the whole is not valid JSON, each record is read by itself, so that a
NaN or a lone surrogate costs its own record only. `events.py` and `profiles.py` take the records from here.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeAlias
from urllib.parse import unquote_to_bytes

import orjson

from cohorts.refusals import Reason
from cohorts.values import JsonValue

# No SDK sends more than a handful of fields; a body of separators alone must not cost anything.
_MAX_FIELDS = 64
_GZIP_MAGIC = b"\x1f\x8b"
_BASE64_ALPHABET = bytes.maketrans(b" -_", b"++/")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_TOKEN_FIELD = re.compile(rb'"\$?token"\s*:\s*"([A-Za-z0-9]{1,64})"')
# A string, closed or not, a run of opening or of closing brackets, a run of commas. Possessive and never in need of an
# end, so that no input makes it go back or try again.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]++|[\]}]++|,++', re.DOTALL)


class Readable(Protocol):
    """What a body is read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        ...


class Undecodable(Exception):
    """The body holds no records at all; the message is one sentence."""


class TooLarge(Exception):
    """The body exceeds a limit; the message is Mixpanel's."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that is not valid JSON: why, what the sender is told, and its bytes."""

    reason: Reason
    message: str
    text: bytes

    @property
    def token(self) -> str:
        """Return the project token among the bytes, so that the project can be told; "" for none."""
        found = _TOKEN_FIELD.search(self.text)
        return found[1].decode() if found else ""


RawRecord: TypeAlias = "JsonValue | Unreadable"


@dataclass(frozen=True, slots=True)
class Form:
    """A request before its records are read: the parameters, from the query and the form, and the text of its data."""

    parameters: dict[str, str]
    data: bytes

    def is_on(self, parameter: str) -> bool:
        """Return whether a 0/1 parameter is on."""
        return self.parameters.get(parameter, "0") not in {"", "0", "false"}


@dataclass(frozen=True, slots=True)
class Received:
    """A decoded request; `failure` says why it has no records at all."""

    form: Form
    records: list[RawRecord]
    failure: Undecodable | TooLarge | None = None


def receive(
    stream: Readable,
    *,
    query: bytes,
    content_encoding: str,
    max_bytes: int,
    max_records: int,
    max_record_bytes: int,
) -> Received:
    """Read a request and return its parameters and records."""
    form = read_form(query=query, body=b"")
    try:
        body = read_body(stream, content_encoding=content_encoding, max_bytes=max_bytes)
        form = read_form(query=query, body=body)
        records = read_records(form.data, max_records=max_records, max_record_bytes=max_record_bytes)
    except (Undecodable, TooLarge) as failure:
        return Received(form, [], failure)
    return Received(form, records)


def read_body(stream: Readable, *, content_encoding: str, max_bytes: int) -> bytes:
    """Return the body, inflated; at most one byte over the limit is ever held. Raises TooLarge, Undecodable."""
    body = stream.read(max_bytes + 1)
    if content_encoding.strip().lower() == "gzip" and body.startswith(_GZIP_MAGIC):
        body = _inflated(body, max_bytes)
    if len(body) > max_bytes:
        raise TooLarge(f"request exceeds max limit of {max_bytes} bytes")
    return body


def read_form(*, query: bytes, body: bytes) -> Form:
    """Return the parameters and the data of a request.

    The bytes decide, not the Content-Type: a body that is no JSON is a form. A request whose body has no data has it in
    the query.
    """
    # Raw NUL is allowed nowhere in JSON, and PostgreSQL would refuse it: strip it as the escaped one is stripped.
    text = (body.replace(b"\0", b"") if b"\0" in body else body).strip().removeprefix(b"\xef\xbb\xbf").lstrip()
    is_json = text.startswith((b"[", b"{"))
    fields = [*([] if is_json else _fields(text)), *_fields(query)]
    return Form(
        # The body's come last, and win.
        parameters={name: value.decode("utf-8", "replace") for name, value in reversed(fields) if name != "data"},
        data=text if is_json else next((value.strip() for name, value in fields if name == "data"), b""),
    )


def read_records(data: bytes, *, max_records: int, max_record_bytes: int) -> list[RawRecord]:
    """Return the records: JSON, JSON lines, or either in base64. Raises Undecodable, TooLarge."""
    if not data:
        raise Undecodable("data, missing or empty")
    text = data if data.startswith((b"[", b"{")) else _from_base64(data)
    records = _records(text, max_records)
    if len(records) > max_records:
        raise TooLarge(f"request exceeds max limit of {max_records} records")
    if len(text) > max_record_bytes:
        records = [_within(record, max_record_bytes) for record in records]
    return records


def _inflated(body: bytes, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        inflated = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise Undecodable("the body is not valid gzip") from error
    if len(inflated) <= max_bytes and (not inflater.eof or inflater.unused_data):
        raise Undecodable("the gzip body is cut off or followed by other bytes")
    return inflated


def _fields(text: bytes) -> list[tuple[str, bytes]]:
    """Return the fields of a form or a query string; a plus is a space."""
    fields = []
    for part in text.split(b"&", _MAX_FIELDS):
        name, separator, value = part.partition(b"=")
        if separator:
            fields.append((_unquoted(name).decode("utf-8", "replace"), _unquoted(value)))
    return fields


def _unquoted(text: bytes) -> bytes:
    text = text.replace(b"+", b" ")
    if _BAD_ESCAPE.search(text):
        return unquote_to_bytes(text)
    # Quoted-printable is the same code with another sign, and its decoder is five times as fast: most of what a request
    # of URL-encoded JSON costs to read.
    return binascii.a2b_qp(text.replace(b"=", b"=3D").replace(b"%", b"="))


def _from_base64(text: bytes) -> bytes:
    """Return the JSON in base64, as SDKs send it: with + as it is or turned into spaces, URL-safe, without padding."""
    plain = text.translate(_BASE64_ALPHABET).rstrip(b"=")
    try:
        decoded = base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True).strip()
    except binascii.Error as error:
        raise Undecodable("data is neither JSON nor base64") from error
    if not decoded.startswith((b"[", b"{")):
        raise Undecodable("data holds no JSON object and no list of them")
    return decoded.replace(b"\0", b"")


def _records(text: bytes, max_records: int) -> list[RawRecord]:
    """Return the records; of too many only so many that it can be told."""
    if text.startswith(b"{") and b"\n" in text:
        lines = [line for line in (raw.strip() for raw in text.split(b"\n")) if line]
        if len(lines) > 1 and all(line.startswith(b"{") for line in lines):
            return _parsed_each(lines[: max_records + 1])
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        if text.startswith(b"{"):
            return [_parsed(text)]
        return [_parsed(element) for element in islice(_elements(text), max_records + 1)]
    return value if isinstance(value, list) else [value]


def _within(record: RawRecord, max_bytes: int) -> RawRecord:
    if isinstance(record, Unreadable):
        return record
    try:
        text = orjson.dumps(record)
    except orjson.JSONEncodeError:
        # More nested than orjson writes: refused for that by whoever reads it, or in a part that nobody reads.
        return record
    if len(text) <= max_bytes:
        return record
    return Unreadable(Reason.RECORD_TOO_LARGE, f"the record exceeds max limit of {max_bytes} bytes", text)


def _parsed_each(texts: list[bytes]) -> list[RawRecord]:
    """Return the values of JSON texts; all at once where all are valid."""
    try:
        values = orjson.loads(b"[" + b",".join(texts) + b"]")
    except orjson.JSONDecodeError:
        values = []
    # Two values on one line would shift the rest.
    return values if len(values) == len(texts) else [_parsed(text) for text in texts]


def _parsed(text: bytes) -> RawRecord:
    try:
        value: JsonValue = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        words = str(error)
        if "surrogate" in words or "UTF-8" in words:
            whole = _joined(text)
            if whole != text:
                return _parsed(whole)
            return Unreadable(Reason.NOT_UTF8, "properties is invalid: string should be valid utf8", text)
        return Unreadable(Reason.NOT_JSON, f"the record is not valid JSON: {error.msg}", text)
    return value


def _joined(text: bytes) -> bytes:
    """Return the text with every character whole that came as its two halves, each encoded like a character (CESU-8).

    That is how mixpanel-browser's own base64 encodes an emoji; half a one stays as it is, and invalid.
    """
    if b"\xed" not in text:
        return text
    try:
        units = text.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass")
        return units.decode("utf-16-le").encode()
    except UnicodeDecodeError:
        return text


def _elements(text: bytes) -> Iterator[bytes]:
    """Yield the texts of a JSON list's elements, found by quotes and brackets alone. Raises Undecodable."""
    depth = 0
    start = 1
    for token in _TOKEN.finditer(text):
        mark = text[token.start()]
        if mark in b"[{":
            depth += len(token[0])
        elif mark in b"]}":
            depth -= len(token[0])
            if depth <= 0:
                last = text[start : token.end() - 1 + depth]
                if depth < 0 or text[token.end() :].strip():
                    break
                if last.strip():
                    yield last
                return
        elif mark in b"," and depth == 1:
            yield text[start : token.start()]
            start = token.end()
    raise Undecodable("data is not valid JSON")
