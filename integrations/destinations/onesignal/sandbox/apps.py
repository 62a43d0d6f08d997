"""One app at OneSignal: its key and plan, its users and segments, and how it is made to fail."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field

from pyroaring import BitMap

from integrations.destinations.onesignal.sandbox.faults import Dice, Faults
from integrations.destinations.onesignal.sandbox.filters import select_users
from integrations.destinations.onesignal.sandbox.segments import Segment
from integrations.destinations.onesignal.sandbox.traffic import Traffic
from integrations.destinations.onesignal.sandbox.users import Users

KEY_PREFIX = "os_v2_app_"
KEY_CHARACTERS = "abcdefghijklmnopqrstuvwxyz234567"
KEY_LENGTH = 103
DEFAULT_PLAN = "growth"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan allows; None is unlimited (contract/onesignal.md, section 2)."""

    tags_per_user: int | None
    segments: int | None
    has_segments_api: bool = True


PLANS = {
    "free": Plan(2, 6, has_segments_api=False),
    "growth": Plan(10, 10),
    "professional": Plan(100, 20),
    "enterprise": Plan(None, None),
}


@dataclass(slots=True)
class AppSettings:
    """What the control endpoints set; a limit here goes before the plan's."""

    id: str
    api_key: str
    created_at: float
    updated_at: float
    user_id_base: str
    subscription_id_base: str
    organization_id: str
    name: str = ""
    plan: str = DEFAULT_PLAN
    tag_limit: int | None = None
    segment_limit: int | None = None


@dataclass(frozen=True, slots=True)
class LateWrite:
    """A write that was accepted and will be stored at `due_at`, in seconds since 1970."""

    due_at: float
    number: int
    tags: dict[str, str]
    properties: dict[str, object]


@dataclass(slots=True)
class App:
    """One app with all it holds. Only `state.py` changes it, so that every change is kept."""

    settings: AppSettings
    faults: Faults = field(default_factory=Faults)
    dice: Dice = field(init=False)
    users: Users = field(init=False)
    segments: dict[str, Segment] = field(default_factory=dict)
    late_writes: dict[str, LateWrite] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    is_exporting: bool = False

    def __post_init__(self) -> None:
        self.dice = Dice(self.faults)
        self.users = Users(
            user_id_base=self.settings.user_id_base, subscription_id_base=self.settings.subscription_id_base
        )

    @property
    def plan(self) -> Plan:
        """What the app's plan allows."""
        return PLANS[self.settings.plan]

    @property
    def tag_limit(self) -> int | None:
        """How many tags a user may carry."""
        return self.plan.tags_per_user if self.settings.tag_limit is None else self.settings.tag_limit

    @property
    def segment_limit(self) -> int | None:
        """How many segments the app may have."""
        return self.plan.segments if self.settings.segment_limit is None else self.settings.segment_limit

    def members(self, segment: Segment, *, now: float) -> BitMap:
        """Return the numbers of the users in a segment."""
        return select_users(segment.filters, self.users, now=now)

    def segment_named(self, name: str) -> Segment | None:
        """Return the segment of this name."""
        return next((segment for segment in self.segments.values() if segment.name == name), None)


def new_settings(app_id: str, api_key: str, *, now: float) -> AppSettings:
    """Return the settings of a new app on the default plan."""
    return AppSettings(
        id=app_id,
        api_key=api_key,
        created_at=now,
        updated_at=now,
        user_id_base=str(uuid.uuid4()),
        subscription_id_base=str(uuid.uuid4()),
        organization_id=str(uuid.uuid4()),
        name=f"App {app_id[:8]}",
    )


def new_api_key() -> str:
    """Return a key in the form of OneSignal's App API keys (contract/onesignal.md, section 1)."""
    return KEY_PREFIX + "".join(secrets.choice(KEY_CHARACTERS) for _ in range(KEY_LENGTH))
