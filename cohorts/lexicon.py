"""The names a project has really received: events and properties, for the fields in which people choose one.

Samples of the newest and the oldest rows, so that the cost does not grow with the project; a name that is missing here
can still be typed.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection

from cohorts.models import Project

SAMPLE_ROWS = 1000

_PROFILE_PROPERTIES = """
SELECT DISTINCT name FROM (
    (SELECT properties FROM cohorts_person WHERE project_id = %(project)s ORDER BY id DESC LIMIT %(rows)s)
    UNION ALL
    (SELECT properties FROM cohorts_person WHERE project_id = %(project)s ORDER BY id LIMIT %(rows)s)
) AS sample, jsonb_object_keys(sample.properties) AS name ORDER BY name
"""
# Jumps from name to name in the index, so that a million events of one name cost one step.
_EVENT_NAMES = """
WITH RECURSIVE names AS (
    (SELECT name FROM cohorts_event WHERE project_id = %(project)s ORDER BY name LIMIT 1)
    UNION ALL
    SELECT (SELECT event.name FROM cohorts_event AS event
            WHERE event.project_id = %(project)s AND event.name > names.name ORDER BY event.name LIMIT 1)
    FROM names WHERE names.name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL LIMIT %(rows)s
"""
# The newest events of each name, found in the index by name.
_EVENT_PROPERTIES = """
SELECT DISTINCT property FROM unnest(%(names)s::text[]) AS named(name)
CROSS JOIN LATERAL (
    SELECT properties FROM cohorts_event AS event
    WHERE event.project_id = %(project)s AND event.name = named.name ORDER BY event.occurred_at DESC LIMIT 20
) AS newest, jsonb_object_keys(newest.properties) AS property ORDER BY property
"""
MAX_SAMPLED_NAMES = 50


def profile_properties(project: Project) -> list[str]:
    """Return the names of profile properties in a sample of the project's people, sorted."""
    return _names(_PROFILE_PROPERTIES, project)


def event_names(project: Project) -> list[str]:
    """Return the names of the project's events, sorted; at most a thousand."""
    return _names(_EVENT_NAMES, project)


def event_properties(project: Project, names: Sequence[str]) -> list[str]:
    """Return the names of properties in the newest events of (the first 50 of) these names, sorted."""
    return _names(_EVENT_PROPERTIES, project, names=list(names[:MAX_SAMPLED_NAMES]))


def _names(sql: str, project: Project, **parameters: list[str]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(sql, {"project": project.pk, "rows": SAMPLE_ROWS, **parameters})
        return [row[0] for row in cursor.fetchall()]
