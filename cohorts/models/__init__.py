"""The core's tables, by noun: projects and access, people and their ids, events, erasures, cohorts."""

from cohorts.models.cohorts import Cohort
from cohorts.models.erasures import ErasedKey, ErasedPerson, Erasure
from cohorts.models.events import Event, Refusal
from cohorts.models.groups import GroupProfile
from cohorts.models.people import DistinctId, FormerKey, MatchKey, MatchProperty, Person, PersonKey, Redirect
from cohorts.models.projects import Membership, Project, ServiceAccount, User
from cohorts.models.sessions import PeopleSession

__all__ = [
    "Cohort",
    "DistinctId",
    "ErasedKey",
    "ErasedPerson",
    "Erasure",
    "Event",
    "FormerKey",
    "GroupProfile",
    "MatchKey",
    "MatchProperty",
    "Membership",
    "PeopleSession",
    "Person",
    "PersonKey",
    "Project",
    "Redirect",
    "Refusal",
    "ServiceAccount",
    "User",
]
