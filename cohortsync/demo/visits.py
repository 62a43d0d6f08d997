"""What the demo shop's people did in the 60 days that lead up to now, and the profiles they have after that."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator

from cohorts.messages import IncomingEvent, ProfileUpdate, Set
from cohorts.values import Properties
from cohortsync.demo.people import SEED, Person, Reach, people

DAYS = 60
_DAY = dt.timedelta(days=1)
# Monday first: people shop at weekends and in the evening.
_BY_WEEKDAY = (0.9, 0.85, 0.9, 0.95, 1.05, 1.25, 1.2)
_BY_HOUR = (2, 1, 1, 1, 1, 2, 4, 7, 8, 7, 6, 7, 9, 8, 6, 6, 7, 9, 12, 15, 17, 15, 10, 5)
_PRODUCTS = (
    ("House blend, 1 kg", "Coffee", 24.9),
    ("Single origin, 250 g", "Coffee", 11.5),
    ("Hand grinder", "Coffee", 79.0),
    ("Pour-over set", "Coffee", 42.0),
    ("Earl Grey, loose", "Tea", 9.8),
    ("Sencha, 100 g", "Tea", 14.2),
    ("Cast-iron teapot", "Tea", 64.0),
    ("Carbon-steel pan", "Cookware", 58.0),
    ("Bread knife", "Cookware", 36.5),
    ("Enamel pot, 4 l", "Cookware", 89.0),
    ("One-pot suppers", "Books", 27.0),
    ("The sourdough year", "Books", 31.0),
)
_REASONS = ("Too expensive", "Not used enough", "Missing a feature", "Found another shop")


def make_up(*, now: dt.datetime) -> tuple[list[ProfileUpdate], list[IncomingEvent]]:
    """Return everybody's profile, but for the anonymous, and everything they did, by time."""
    updates: list[ProfileUpdate] = []
    events: list[IncomingEvent] = []
    for person in people():
        history = sorted(_history(person, now), key=lambda event: event.occurred_at)
        events += history
        if person.reach is not Reach.ANONYMOUS:
            profile = Set(_profile(person, history, now))
            updates.append(ProfileUpdate(len(updates), person.distinct_id, (profile,), updated_at=now))
    events.sort(key=lambda event: event.occurred_at)
    return updates, events


def _history(person: Person, now: dt.datetime) -> Iterator[IncomingEvent]:
    """Yield what one person did, each visit with all that happened in it; nothing lies after `now`."""
    rng = random.Random(f"{SEED} visits of {person.number}")  # noqa: S311 - nothing here is secret
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    joined_at = _joined_at(person, now)
    number = 0

    def event(name: str, moment: dt.datetime, **properties: str | float) -> IncomingEvent:
        nonlocal number
        number += 1
        insert_id = f"demo-{person.number}-{number}"
        return IncomingEvent(name, person.distinct_id, moment, moment, insert_id, {**properties})

    if joined_at > today - DAYS * _DAY and person.reach is not Reach.ANONYMOUS:
        yield event("Signed Up", joined_at, plan=person.plan, country=person.country)
    for days_ago in range(min(DAYS, person.joined_days_ago) - 1, person.left_days_ago - 1, -1):
        day = today - days_ago * _DAY
        due = person.visits / 7 * _BY_WEEKDAY[day.weekday()]
        is_first_of_a_stranger = person.reach is Reach.ANONYMOUS and days_ago == person.joined_days_ago - 1
        for _ in range(int(due) + (rng.random() < due % 1 or is_first_of_a_stranger)):
            hour = rng.choices(range(24), _BY_HOUR)[0]
            moment = day + dt.timedelta(hours=hour, seconds=rng.randrange(3600))
            for name, properties in _visit(rng, person):
                if moment <= now:
                    yield event(name, moment, **properties)
                moment += dt.timedelta(seconds=rng.randint(15, 240))
    if person.has_cancelled:
        moment = today - max(person.left_days_ago, 1 + person.number % 40) * _DAY + dt.timedelta(hours=10)
        if moment > joined_at:
            yield event("Subscription Cancelled", moment, plan=person.plan, reason=rng.choice(_REASONS))


def _visit(rng: random.Random, person: Person) -> Iterator[tuple[str, dict[str, str | float]]]:
    """Yield what happens in one visit: look around, perhaps fill the cart, perhaps buy."""
    yield "App Opened", {"platform": person.platform}
    for _ in range(rng.choices(range(5), [22, 34, 24, 13, 7])[0]):
        product, category, price = rng.choice(_PRODUCTS)
        shown: dict[str, str | float] = {"product": product, "category": category, "price": price}
        yield "Product Viewed", shown
        if rng.random() < 0.22:
            yield "Added to Cart", shown
            if rng.random() < (0.2 if person.reach is Reach.ANONYMOUS else 0.55):
                units = rng.choices([1, 2, 3], [75, 20, 5])[0]
                dollars = round(price * units, 2)
                yield "Purchase", {"product": product, "category": category, "units": units, "dollars": dollars}
                return


def _profile(person: Person, history: list[IncomingEvent], now: dt.datetime) -> Properties:
    rng = random.Random(f"{SEED} profile of {person.number}")  # noqa: S311
    spent_before = rng.gammavariate(1.5, 90.0) if person.joined_days_ago >= DAYS else 0.0
    spent = sum(float(str(event.properties["dollars"])) for event in history if event.name == "Purchase")
    has_cancelled = any(event.name == "Subscription Cancelled" for event in history)
    profile: Properties = {
        "$name": person.name,
        "$email": person.email,
        "country": person.country,
        "plan": "free" if has_cancelled else person.plan,
        "platform": person.platform,
        "signed_up": _joined_at(person, now).isoformat(timespec="seconds"),
        "lifetime_value": round(spent_before + spent, 2),
    }
    if person.match_value is not None:
        profile["$onesignal_user_id"] = person.match_value
    return profile


def _joined_at(person: Person, now: dt.datetime) -> dt.datetime:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return today - person.joined_days_ago * _DAY + dt.timedelta(minutes=37 * person.number % 1440)
