"""CSV and JSON-lines files -> records with their line numbers: the way in for data that comes as a file (step 1).

Files of any size are read in a stream. `cohorts/imports.py` turns the records into messages; the commands
`import_events` and `import_profiles` drive it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from cohorts.values import JsonValue, Properties

MAX_LINE_BYTES = 1024 * 1024
_CHUNK_BYTES = 1024 * 1024

# A number as people write it. An id with leading zeros, an exponent or more digits than a double keeps stays text.
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?")
_BOOLEANS = {"true": True, "false": False}


class FileRefused(Exception):
    """The file as a whole cannot be read; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    """A record: the number of its first line, and its values by column."""

    number: int
    values: Properties


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that is not taken: its number, why, and its beginning."""

    number: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class SourceFile:
    """An inspected file: readable as UTF-8 and not empty. `digest` is the SHA-256 of what it holds, unpacked.

    `columns` are the header's of a CSV file, None for JSON lines. `size_bytes` is that of the file itself.
    """

    path: Path
    digest: str
    size_bytes: int
    columns: tuple[str, ...] | None

    def check_column(self, name: str) -> None:
        """Raise FileRefused, naming the columns there are, if this one is not among them."""
        if self.columns is not None and name not in self.columns:
            raise FileRefused(f"{self.path.name} has no column {name!r}. It has: {', '.join(self.columns)}.")


def inspect(path: Path) -> SourceFile:
    """Read a file through once and return what is known of it then. Raises FileRefused."""
    is_csv = _is_csv(path)
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 1
    try:
        with path.open("rb") as raw, _unpacked(path, raw) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
                decoder.decode(chunk)
                lines += chunk.count(b"\n")
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        number = lines + error.object[: error.start].count(b"\n")
        raise FileRefused(
            f"{path.name} is not UTF-8: line {number} holds the byte 0x{error.object[error.start]:02X}. "
            "Save it as UTF-8 and import it again."
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise FileRefused(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if digest.digest() == hashlib.sha256().digest():
        raise FileRefused(f"{path.name} is empty.")
    return SourceFile(
        path=path,
        digest=digest.hexdigest(),
        size_bytes=path.stat().st_size,
        columns=_header(path) if is_csv else None,
    )


def read_file(
    source: SourceFile, *, text_columns: frozenset[str] = frozenset()
) -> Iterator[tuple[Line | RefusedLine, int]]:
    """Yield each record with the number of the file's bytes read so far.

    In CSV, cells become numbers and booleans where they are written as such, except in `text_columns`; an empty cell is
    no value. An object of JSON lines that has `properties` or `$properties` (Mixpanel's exports) counts as flat.
    """
    with source.path.open("rb") as raw, _unpacked(source.path, raw) as stream:
        records = _csv_records(source, stream, text_columns) if source.columns is not None else _json_records(stream)
        for record in records:
            yield record, raw.tell()


def cell_value(text: str) -> JsonValue:
    """Return what a cell of a CSV file stands for: a number, true or false, or its text."""
    if _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return _BOOLEANS.get(text.lower(), text)


def _is_csv(path: Path) -> bool:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".gz" else suffixes[-1] if suffixes else ""
    if kind == ".csv":
        return True
    if kind in {".ndjson", ".jsonl"}:
        return False
    raise FileRefused(f"{path.name} is neither .csv nor .ndjson (either may end in .gz).")


def _unpacked(path: Path, raw: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if path.suffix.lower() == ".gz" else raw


def _bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines, each cut one byte after the longest one allowed, so that a line too long can be told."""
    while line := stream.readline(MAX_LINE_BYTES + 1):
        yield line
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE_BYTES + 1)


def _csv_rows(source_name: str, stream: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank with the number of its first line."""

    def texts() -> Iterator[str]:
        for number, line in enumerate(_bounded_lines(stream), start=1):
            if len(line) > MAX_LINE_BYTES:
                raise FileRefused(f"Line {number} of {source_name} is longer than {MAX_LINE_BYTES} bytes.")
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")

    csv.field_size_limit(MAX_LINE_BYTES)
    rows = csv.reader(texts(), strict=True)
    first = 1
    try:
        for row in rows:
            if row:
                yield first, row
            first = rows.line_num + 1
    except csv.Error as error:
        raise FileRefused(
            f"{source_name} cannot be read from line {first} on: {error}. Is a quotation mark not closed?"
        ) from error


def _header(path: Path) -> tuple[str, ...]:
    with path.open("rb") as raw, _unpacked(path, raw) as stream:
        for _, row in _csv_rows(path.name, stream):
            columns = tuple(name.strip() for name in row)
            if "" in columns:
                raise FileRefused(f"Column {columns.index('') + 1} in the first line of {path.name} has no name.")
            if len(set(columns)) < len(columns):
                twice = next(name for name in columns if columns.count(name) > 1)
                raise FileRefused(f"The first line of {path.name} names the column {twice!r} twice.")
            return columns
    raise FileRefused(f"{path.name} holds blank lines only.")


def _csv_records(source: SourceFile, stream: BinaryIO, text_columns: frozenset[str]) -> Iterator[Line | RefusedLine]:
    columns = source.columns or ()
    rows = _csv_rows(source.path.name, stream)
    next(rows)
    for number, row in rows:
        if len(row) != len(columns):
            yield RefusedLine(
                number,
                f"The line has {len(row)} cells, and the first line names {len(columns)} columns.",
                ",".join(row),
            )
            continue
        yield Line(
            number,
            {
                name: cell if name in text_columns else cell_value(cell)
                for name, cell in zip(columns, row, strict=True)
                if cell
            },
        )


def _json_records(stream: BinaryIO) -> Iterator[Line | RefusedLine]:
    for number, line in enumerate(_bounded_lines(stream), start=1):
        text = line.strip().removeprefix(codecs.BOM_UTF8)
        if not text:
            continue
        if len(line) > MAX_LINE_BYTES:
            yield RefusedLine(number, f"The line is longer than {MAX_LINE_BYTES} bytes.", _beginning(text))
            continue
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            yield RefusedLine(number, f"The line is not valid JSON: {error.msg}.", _beginning(text))
            continue
        if isinstance(value, dict):
            yield Line(number, _flat(value))
        else:
            yield RefusedLine(number, "The line is not a JSON object.", _beginning(text))


def _flat(record: Properties) -> Properties:
    for name in ("properties", "$properties"):
        if isinstance(inner := record.get(name), dict):
            return {key: value for key, value in record.items() if key != name} | inner
    return record


def _beginning(text: bytes) -> str:
    return text[:500].decode("utf-8", "replace")
