"""The way in to erasing people: the core erases (`cohorts/erasing/`), then their tags go (`integrations/removals.py`).

Called by Mixpanel's GDPR endpoints, the REST API and the command `erase_person`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from django.db import transaction

from cohorts.erasing import erase_persons
from cohorts.models import Erasure, Project
from cohorts.tasks import request_sweep
from integrations.errors import Invalid
from integrations.tasks import request_removals

# Mixpanel: at most so many in one request.
MAX_DISTINCT_IDS = 2000
COMPLIANCE_TYPES = ("GDPR", "CCPA")


def erase_people(
    *, project: Project, distinct_ids: Collection[str], requested_by: str, now: dt.datetime, compliance_type: str = ""
) -> Erasure:
    """Erase the persons with these ids; return the audit row. What is swept afterwards is asked for at once.

    Raises Invalid when there is no id or there are too many, and ProjectGone.
    """
    if not distinct_ids or not all(distinct_ids):
        raise Invalid("distinct_ids", "Name at least one id, and no empty one.")
    if len(distinct_ids) > MAX_DISTINCT_IDS:
        raise Invalid(
            "distinct_ids",
            f"There are {len(distinct_ids)} ids; at most {MAX_DISTINCT_IDS} may come in one request, so split them.",
        )
    compliance_type = compliance_type or COMPLIANCE_TYPES[0]
    if compliance_type.upper() not in COMPLIANCE_TYPES:
        raise Invalid("compliance_type", f"Give one of: {', '.join(COMPLIANCE_TYPES)}.")
    erasure = erase_persons(
        project=project,
        distinct_ids=distinct_ids,
        requested_by=requested_by,
        compliance_type=compliance_type.upper(),
        now=now,
    )
    transaction.on_commit(request_sweep)
    transaction.on_commit(request_removals)
    return erasure
