"""Segments: create, list, view, update, delete (contract/onesignal.md, section 2). `answering.py` has seen the key."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace

from integrations.destinations.onesignal.sandbox.filters import read_filters
from integrations.destinations.onesignal.sandbox.routes import Call
from integrations.destinations.onesignal.sandbox.segments import Segment
from integrations.destinations.onesignal.sandbox.wire import (
    Answer,
    Malformed,
    Refusal,
    basic_error,
    json_answer,
    structured_error,
    text_field,
    written_moment,
)

MAX_NAME_CHARACTERS = 128
MAX_DESCRIPTION_CHARACTERS = 255
MAX_PAGE = 300
PLAN_REFUSAL = "This API is not available for applications on your plan."


def create_segment(call: Call) -> Answer:
    """Create a segment, under the caller's id if one is given."""
    if not call.app.plan.has_segments_api:
        raise Refusal(basic_error(403, PLAN_REFUSAL))
    body = call.request.json_object()
    segment_id = _read_id(body)
    name, description = _read_name(body), _read_description(body)
    filters = read_filters(body.get("filters"))
    segments = call.app.segments
    # Before the name: the same request sent again finds its own segment.
    if segment_id in segments:
        raise Refusal(basic_error(409, "Segment with the given id already exists.", success=False))
    _check_name_is_free(call, name)
    limit = call.app.segment_limit
    if limit is not None and len(segments) >= limit:
        raise Refusal(basic_error(422, "You have reached the maximum number of segments allowed for your plan."))
    segment = Segment(segment_id, name, description or None, filters, created_at=call.now, updated_at=call.now)
    call.record("segment", asdict(segment))
    return json_answer(201, {"success": True, "id": segment_id})


def list_segments(call: Call) -> Answer:
    """List segments, the oldest first, at most 300."""
    query = call.request.query_values()
    offset, limit = _read_whole(query, "offset", 0, lowest=0), _read_whole(query, "limit", MAX_PAGE, lowest=1)
    limit = min(limit, MAX_PAGE)
    segments = list(call.app.segments.values())
    return json_answer(
        200,
        {
            "total_count": len(segments),
            "offset": offset,
            "limit": limit,
            "segments": [_listed(call, segment) for segment in segments[offset : offset + limit]],
        },
    )


def view_segment(call: Call) -> Answer:
    """Count a segment's opted-in subscriptions and, if asked, show the segment."""
    segment = _path_segment(call)
    if segment is None:
        raise Refusal(basic_error(404, "segment not found"))
    shown: dict[str, object] = {
        "subscriber_count": call.app.users.opted_in_count(call.app.members(segment, now=call.now))
    }
    if call.request.query_values().get("include-segment-detail", "").lower() == "true":
        shown["payload"] = {
            "id": segment.id,
            "name": segment.name,
            "description": segment.description,
            "created_at": int(segment.created_at),
            "source": "custom",
            "filters": segment.filters,
        }
    return json_answer(200, shown)


def update_segment(call: Call) -> Answer:
    """Rename a segment and, if given, replace its description and filters."""
    if not call.app.plan.has_segments_api:
        raise Refusal(basic_error(403, PLAN_REFUSAL, success=False))
    body = call.request.json_object()
    segment = _path_segment(call)
    if segment is None:
        raise Refusal(basic_error(404, "segment not found", success=False))
    name, description = _read_name(body), _read_description(body)
    filters = read_filters(body["filters"]) if "filters" in body else segment.filters
    if name != segment.name:
        _check_name_is_free(call, name)
    if segment.is_used_by_journey:
        # The refusal is documented, its words are ours.
        raise Malformed("This segment is used by an active Journey and cannot be updated.")
    changed = replace(segment, name=name, filters=filters, updated_at=call.now)
    if description is not None:
        changed.description = description or None
    call.record("segment", asdict(changed))
    return json_answer(200, {"success": True, "id": segment.id})


def delete_segment(call: Call) -> Answer:
    """Delete a segment; the tags of its users stay."""
    if not call.app.plan.has_segments_api:
        raise Refusal(basic_error(403, PLAN_REFUSAL))
    segment = _path_segment(call)
    if segment is None:
        return json_answer(404, {"success": False})
    call.record("segment_deleted", segment.id)
    return json_answer(200, {"success": True})


def _path_segment(call: Call) -> Segment | None:
    return call.app.segments.get(call.parameters["segment_id"].lower())


def _listed(call: Call, segment: Segment) -> dict[str, object]:
    return {
        "id": segment.id,
        "name": segment.name,
        "description": segment.description,
        "created_at": written_moment(segment.created_at),
        "updated_at": written_moment(segment.updated_at),
        "app_id": call.app.settings.id,
        "read_only": False,
        "is_active": segment.is_active,
    }


def _read_id(body: Mapping[str, object]) -> str:
    given = text_field(body, "id")
    if not given:
        return str(uuid.uuid4())
    try:
        return str(uuid.UUID(given))
    except ValueError:
        raise Malformed("id must be a UUID") from None


def _read_name(body: Mapping[str, object]) -> str:
    name = text_field(body, "name")
    if name is None or not name.strip():
        raise Malformed("name is required")
    if len(name) > MAX_NAME_CHARACTERS:
        raise Malformed(f"name is too long (maximum is {MAX_NAME_CHARACTERS} characters)")
    return name


def _read_description(body: Mapping[str, object]) -> str | None:
    description = text_field(body, "description")
    if description is not None and len(description) > MAX_DESCRIPTION_CHARACTERS:
        raise Malformed(f"description is too long (maximum is {MAX_DESCRIPTION_CHARACTERS} characters)")
    return description


def _check_name_is_free(call: Call, name: str) -> None:
    if call.app.segment_named(name) is not None:
        raise Malformed("Segment name is already taken.")


def _read_whole(query: Mapping[str, str], name: str, default: int, *, lowest: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) >= lowest):
        # The errors of this listing alone are structured (S1).
        raise Refusal(structured_error(400, "request-0", f"{name} must be a whole number from {lowest} on"))
    return int(text)
