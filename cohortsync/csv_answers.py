"""Rows of any number as a CSV file that is sent while it is read (step 8); for the API and the pages."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from django.http import StreamingHttpResponse

ROWS_PER_CHUNK = 1000


def csv_answer(rows: Iterable[Sequence[str]], *, file_name: str) -> StreamingHttpResponse:
    """Return the rows, the first of which is the header, as a download."""
    remaining = iter(rows)
    # The header is read before the answer starts, so that a failure is still an answer of its own.
    header = next(remaining)
    return StreamingHttpResponse(
        _chunks(chain([header], remaining)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
    )


def _chunks(rows: Iterator[Sequence[str]]) -> Iterator[bytes]:
    while chunk := list(islice(rows, ROWS_PER_CHUNK)):
        text = io.StringIO()
        csv.writer(text).writerows(chunk)
        yield text.getvalue().encode()
