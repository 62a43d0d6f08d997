"""Mixpanel's answers to queries, to the letter: tools read `results`, `total`, `page_size` and `session_id`."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from django.http import HttpResponse

from cohorts.models import Cohort
from cohorts.people_sessions import PAGE_PEOPLE, PeoplePage


def cohort_list(cohorts: Iterable[Cohort]) -> HttpResponse:
    """Answer the cohorts; one that was never counted has 0."""
    return _json(
        [
            {
                "count": cohort.count or 0,
                # 0 is Mixpanel's word for a cohort that its project does not see; such are not in the list at all.
                "is_visible": 1,
                "description": cohort.description,
                "created": f"{cohort.created_at:%Y-%m-%d %H:%M:%S}",
                "project_id": cohort.project_id,
                "id": cohort.pk,
                "name": cohort.name,
            }
            for cohort in cohorts
        ]
    )


def people(page: PeoplePage) -> HttpResponse:
    """Answer one page; `total` counts the people on all of them."""
    return _json(
        {
            "page": page.number,
            "page_size": PAGE_PEOPLE,
            "results": [
                {"$distinct_id": profile.distinct_id, "$properties": profile.properties} for profile in page.profiles
            ],
            "session_id": page.session,
            "status": "ok",
            "total": page.total,
        }
    )


def refused(code: int, sentence: str, *, retry_after: int | None = None) -> HttpResponse:
    """Answer that, and why, there is no result."""
    response = _json({"error": sentence, "status": "error"}, status=code)
    if code == 401:
        response["WWW-Authenticate"] = 'Basic realm="CohortSync"'
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def _json(body: object, *, status: int = 200) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), content_type="application/json", status=status)
