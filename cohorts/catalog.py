"""The catalogue of a project's cohorts: saved, changed and deleted here. What a definition means is
`cohorts/definition.py`, whom it selects `cohorts/resolve.py`.

The core does not know syncs; what refers to a cohort protects it in the database, and is named when it is in the way.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import ProtectedError, QuerySet
from django.utils import timezone

from cohorts.access import Actor, NotFound
from cohorts.definition import parse_definition
from cohorts.models import Cohort, Project, User
from cohorts.retention import RetentionRefused, is_relied_on, lock_retention, require_kept


class InvalidCohort(ValueError):
    """An input that makes no cohort: `field` names it, the message is one sentence."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field
        self.sentence = sentence


class CohortInUse(Exception):
    """The cohort cannot go while something refers to it; the sentence names what."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class CohortChange:
    """A changed cohort, and whether what it selects or its name changed: both concern the segments made from it."""

    cohort: Cohort
    is_redefined: bool
    is_renamed: bool


def visible_cohorts(actor: Actor) -> QuerySet[Cohort]:
    """Return the cohorts of the actor's project that the actor may see."""
    return Cohort.objects.visible_to(actor.user).filter(project=actor.project).select_related("project")


def cohort_for(actor: Actor, cohort_id: int, *, field: str = "") -> Cohort:
    """Return a cohort the actor may see. Raises NotFound."""
    cohort = visible_cohorts(actor).filter(pk=cohort_id).first()
    if cohort is None:
        raise NotFound(f"There is no cohort {cohort_id} in this project.", field)
    return cohort


def create_cohort(
    *, project: Project, name: str, description: str, definition: object, visibility: str, by: User | None
) -> Cohort:
    """Save a cohort and return it. Raises InvalidDefinition, InvalidCohort."""
    parse_definition(definition)
    _check_visibility(visibility, creator=by, by=by)
    return Cohort.objects.create(
        project=project,
        name=_checked_name(name),
        description=description,
        definition=definition,
        visibility=visibility,
        created_by=by,
    )


def update_cohort(
    *,
    cohort: Cohort,
    by: User | None,
    name: str | None = None,
    description: str | None = None,
    definition: object = None,
    visibility: str | None = None,
) -> CohortChange:
    """Change what is given and return the change; the version rises with the definition.

    Raises InvalidDefinition, InvalidCohort.
    """
    if definition is not None:
        parse_definition(definition)
    with transaction.atomic():
        if definition is not None:
            lock_retention(cohort.project_id)
        # Locked, so that two changes at once give two versions.
        cohort = Cohort.objects.select_for_update(of=("self",)).select_related("created_by").get(pk=cohort.pk)
        is_renamed = name is not None and _checked_name(name) != cohort.name
        is_redefined = definition is not None and definition != cohort.definition
        if name is not None:
            cohort.name = _checked_name(name)
        if description is not None:
            cohort.description = description
        if visibility is not None and visibility != cohort.visibility:
            _check_visibility(visibility, creator=cohort.created_by, by=by)
            cohort.visibility = visibility
        if is_redefined and is_relied_on(cohort):
            try:
                require_kept(cohort=cohort, definition=definition, now=timezone.now())
            except RetentionRefused as error:
                raise InvalidCohort("definition", error.sentence) from error
        if is_redefined:
            cohort.definition = definition
            cohort.version += 1
            # The last count was of another definition.
            cohort.count = cohort.counted_at = None
        cohort.save()
    return CohortChange(cohort=cohort, is_redefined=is_redefined, is_renamed=is_renamed)


def delete_cohort(*, cohort: Cohort) -> None:
    """Delete the cohort. Raises CohortInUse naming what refers to it."""
    try:
        with transaction.atomic():
            # Locked first: whoever is about to refer to it either is seen below or finds it gone.
            Cohort.objects.select_for_update().get(pk=cohort.pk).delete()
    except ProtectedError as error:
        users = ", ".join(sorted(str(user) for user in error.protected_objects))
        raise CohortInUse(f"{cohort.name} is in use by {users}: delete that first.") from error


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name:
        raise InvalidCohort("name", "A cohort needs a name.")
    if len(name) > 255:
        raise InvalidCohort("name", f"A name has at most 255 characters, and this one has {len(name)}.")
    return name


def _check_visibility(visibility: str, *, creator: User | None, by: User | None) -> None:
    """Raise InvalidCohort if nobody, or not the asking person, would own the private cohort."""
    if visibility not in Cohort.Visibility.values:
        raise InvalidCohort("visibility", f"{visibility!r} is no visibility; it is private or project.")
    if visibility == Cohort.Visibility.PRIVATE and (by is None or by != creator):
        raise InvalidCohort(
            "visibility", "Only the person who made a cohort can keep it private; a service account shares its cohorts."
        )
