"""Step 2, ingest: typed messages -> events and profiles in PostgreSQL, in bulk, one transaction per request.

Messages (`cohorts/messages.py`) come from the readers of step 1, `integrations/mixpanel/` and `cohorts/files.py`. What
returns is committed.
"""

from cohorts.ingest.events import ingest_events
from cohorts.ingest.groups import apply_group_updates
from cohorts.ingest.profiles import apply_profile_updates
from cohorts.transactions import ProjectGone

__all__ = ["ProjectGone", "apply_group_updates", "apply_profile_updates", "ingest_events"]
