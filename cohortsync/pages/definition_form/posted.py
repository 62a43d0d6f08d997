"""A request's form data -> a draft. Takes anything: what is missing stands for its default, what is unknown is left."""

from __future__ import annotations

import re
from dataclasses import replace

from django.http import QueryDict

from cohorts.definition.values import MAX_CONDITIONS, MAX_GROUPS
from cohortsync.pages.definition_form.draft import DEFAULTS, Draft, DraftCondition, DraftGroup
from cohortsync.pages.definition_form.settled import moved_along

_NAME = re.compile(r"group-([0-9]{1,4})-(?:match|condition-([0-9]{1,4})-(?:filter-([0-9]{1,4})-)?([a-z_-]+))")
# What lies beyond cannot come from the form. One more than allowed is kept, for the sentence that says so.
_MAX_GROUPS_READ = MAX_GROUPS + 1
_MAX_CONDITIONS_READ = MAX_CONDITIONS + 1


def draft_from_post(data: QueryDict) -> Draft:
    """Return what stands in the form."""
    groups: dict[int, dict[int, dict[int, dict[str, str]]]] = {}
    for key in data:
        found = _NAME.fullmatch(key)
        if not found:
            continue
        group, condition, filter_, name = found.groups()
        conditions = groups.setdefault(int(group), {})
        if condition is not None and name in DEFAULTS:
            # The condition itself comes before its filters.
            parts = conditions.setdefault(int(condition), {})
            parts.setdefault(-1 if filter_ is None else int(filter_), {})[name] = str(data[key])
    room = _MAX_CONDITIONS_READ
    read = []
    for position, conditions in sorted(groups.items())[:_MAX_GROUPS_READ]:
        drafts = []
        for _, parts in sorted(conditions.items()):
            if room > 0:
                drafts.append(_condition(parts, room=room))
                room -= drafts[-1].size
        read.append(DraftGroup(data.get(f"group-{position}-match", "all"), tuple(drafts) or (DraftCondition(),)))
    return Draft(data.get("base", "all_users"), data.get("match", "all"), tuple(read) or (DraftGroup(),))


def _condition(parts: dict[int, dict[str, str]], *, room: int) -> DraftCondition:
    own = DraftCondition(parts.get(-1, {}))
    filters = [
        moved_along(DraftCondition({**fields, "does": "property"}))
        for position, fields in sorted(parts.items())
        if position >= 0
    ]
    return replace(moved_along(own), filters=tuple(filters[:room]))
