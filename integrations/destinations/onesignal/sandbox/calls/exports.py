"""The CSV export: ask for one, fetch its file (contract/onesignal.md, section 4)."""

from __future__ import annotations

from collections.abc import Mapping

from integrations.destinations.onesignal.sandbox.exports import EXTRA_COLUMNS, ExportWish
from integrations.destinations.onesignal.sandbox.routes import Call
from integrations.destinations.onesignal.sandbox.wire import Answer, Malformed, json_answer, text_field

XML_HEADERS = ((b"content-type", b"application/xml"),)
GZIP_HEADERS = ((b"content-type", b"application/gzip"),)
NO_SUCH_KEY = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
)


def start_export(call: Call) -> Answer:
    """Begin an export and tell where its file will be."""
    wish = _read_wish(call)
    if call.app.is_exporting:
        # Field reports have these words; the status is not published.
        raise Malformed(
            "User already running another CSV export. Please wait until your other CSV exporter finishes and try again."
        )
    name = call.exports.start(call.app, wish)
    return json_answer(200, {"csv_file_url": f"{call.request.origin}/csv_exports/{call.app.settings.id}/{name}"})


def fetch_export(call: Call) -> Answer:
    """Return the file once it is whole; its name, which nobody can guess, is the only key to it."""
    content = call.exports.read(call.parameters["app_id"], call.parameters["file_name"])
    if content is None:
        return Answer(404, NO_SUCH_KEY, XML_HEADERS)
    return Answer(200, content, GZIP_HEADERS)


def _read_wish(call: Call) -> ExportWish:
    body: Mapping[str, object] = call.request.json_object() if call.request.body else {}
    extra = body.get("extra_fields", [])
    if not isinstance(extra, list) or any(column not in EXTRA_COLUMNS for column in extra):
        raise Malformed(f"extra_fields must be an array of names among {', '.join(EXTRA_COLUMNS)}.")
    name = text_field(body, "segment_name")
    segment = call.app.segment_named(name) if name else None
    if name and segment is None:
        raise Malformed(f"There is no segment named {name!r}.")
    is_unsubscribed_included = body.get("include_unsubscribed", False)
    if not isinstance(is_unsubscribed_included, bool):
        raise Malformed("include_unsubscribed must be true or false.")
    return ExportWish(tuple(dict.fromkeys(extra)), segment, is_unsubscribed_included, _read_since(body))


def _read_since(body: Mapping[str, object]) -> float | None:
    since = body.get("last_active_since")
    if since is None:
        return None
    text = str(since)
    if isinstance(since, bool) or not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise Malformed("last_active_since must be a Unix time in seconds.")
    return float(text)
