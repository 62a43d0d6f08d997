"""What an actor may see of a project's connections, syncs and runs; the API and the pages both start here.

Each `..._for` raises NotFound for what does not exist and for what belongs to another project alike. Who may change
what is decided by `cohorts/access.py`. A cohort that somebody keeps private is exported under their eyes and those of
owners and admins, who answer for the destination; nobody else sees its syncs and runs.
"""

from __future__ import annotations

from django.db.models import OuterRef, Prefetch, QuerySet, Subquery

from cohorts.access import Action, Actor, NotFound, has_role
from cohorts.models import Cohort
from integrations.models import Connection, Run, Sync


def connections_of(actor: Actor) -> QuerySet[Connection]:
    """Return the project's connections with what lists show, the ids of their syncs among it."""
    syncs = Sync.objects.only("id", "connection_id").order_by("id")
    return (
        Connection.objects.filter(project=actor.project)
        # Read by nobody here, so not decrypted either: a lost key must not hide the list.
        .defer("credential")
        .select_related("app", "match_property", "project")
        .prefetch_related(Prefetch("syncs", queryset=syncs))
    )


def connection_for(actor: Actor, connection_id: int, *, field: str = "") -> Connection:
    """Return a connection of the actor's project. Raises NotFound."""
    connection = connections_of(actor).filter(pk=connection_id).first()
    if connection is None:
        raise NotFound(f"There is no connection {connection_id} in this project.", field)
    return connection


def syncs_of(actor: Actor) -> QuerySet[Sync]:
    """Return the project's syncs with `last_run_id` (of the newest) and `last_unmatched` (of the last that ended)."""
    runs = Run.objects.filter(sync=OuterRef("pk")).order_by("-pk")
    return (
        Sync.objects.filter(project=actor.project, **_exports_known_to(actor, "cohort"))
        .select_related("ledger", "project", "cohort", "connection__app", "connection__match_property")
        .defer("connection__credential")
        .annotate(
            last_run_id=Subquery(runs.values("pk")[:1]),
            last_unmatched=Subquery(runs.filter(finished_at__isnull=False).values("unmatched")[:1]),
        )
    )


def sync_for(actor: Actor, sync_id: int) -> Sync:
    """Return a sync of the actor's project. Raises NotFound."""
    sync = syncs_of(actor).filter(pk=sync_id).first()
    if sync is None:
        raise NotFound(f"There is no sync {sync_id} in this project.")
    return sync


def runs_of(actor: Actor) -> QuerySet[Run]:
    """Return the project's runs."""
    return Run.objects.filter(project=actor.project, **_exports_known_to(actor, "sync__cohort"))


def run_for(actor: Actor, run_id: int) -> Run:
    """Return a run of the actor's project. Raises NotFound."""
    run = runs_of(actor).filter(pk=run_id).first()
    if run is None:
        raise NotFound(f"There is no run {run_id} in this project.")
    return run


def _exports_known_to(actor: Actor, cohort: str) -> dict[str, QuerySet[Cohort]]:
    """Return the filter on the way to the cohort; none for those who manage the destinations."""
    if has_role(actor.role, Action.CONNECT.least_role):
        return {}
    return {f"{cohort}__in": Cohort.objects.visible_to(actor.user).filter(project=actor.project)}
