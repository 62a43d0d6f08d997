"""Who the demo shop's people are, and how far an export would get with each of them. No dates: those are `visits`."""

from __future__ import annotations

import enum
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from cohorts.values import JsonValue

SEED = "Fern & Oak"
FIRST_NUMBER = 1001

# Countries by their share of the customers, with some names that are common there.
_COUNTRIES = {
    "Germany": (26, "Lena Jonas Hannah Felix Clara Moritz Greta Anton", "Wagner Becker Hoffmann Schulz Koch Richter"),
    "United States": (24, "Emma Liam Olivia Noah Ava Ethan Grace Caleb", "Miller Davis Carter Reed Brooks Hayes"),
    "United Kingdom": (
        14,
        "Amelia Oliver Isla George Poppy Harry Ruby Alfie",
        "Taylor Walker Hughes Bennett Shaw Cole",
    ),
    "France": (11, "Camille Hugo Manon Louis Chloe Jules Alice Arthur", "Martin Laurent Moreau Girard Blanc Roux"),
    "Spain": (8, "Lucia Pablo Carmen Diego Elena Javier Marta Alvaro", "Garcia Navarro Molina Ortega Serrano Vidal"),
    "Brazil": (7, "Julia Miguel Beatriz Rafael Larissa Thiago Camila Bruno", "Silva Costa Almeida Rocha Barbosa Lima"),
    "India": (6, "Ananya Arjun Diya Rohan Isha Vikram Meera Kabir", "Sharma Patel Iyer Nair Mehta Rao"),
    "Japan": (4, "Yui Haruto Sakura Ren Hana Sota Aoi Daiki", "Sato Tanaka Ito Yamada Mori Ono"),
}
_PLANS = {"free": 66, "pro": 24, "team": 10}
# How often one visits in a week, in the middle; some come far more often.
_VISITS = {"": 0.12, "free": 0.16, "pro": 0.42, "team": 0.6}
_MAX_VISITS = 9.0
_LAPSED_SHARE = 0.05


class Reach(enum.Enum):
    """How far an export gets with a person."""

    MATCHED = enum.auto()
    # OneSignal does not know their id.
    UNKNOWN = enum.auto()
    WITHOUT_ID = enum.auto()
    INVALID_ID = enum.auto()
    # Events only, no profile.
    ANONYMOUS = enum.auto()


# The rest of them is matched.
COUNTS = {Reach.UNKNOWN: 14, Reach.WITHOUT_ID: 120, Reach.INVALID_ID: 2, Reach.ANONYMOUS: 300}
PEOPLE = 2000
# What broken code writes where an id should be: a placeholder, and a number.
_INVALID_VALUES: tuple[JsonValue, ...] = ("NA", 48213)


@dataclass(frozen=True, slots=True)
class Person:
    """One of them. `match_value` is what their profile says under `$onesignal_user_id`; None: nothing.

    `plan` is empty for anonymous people. They joined and, if they did, left (0: still here) so many days ago, and
    `visits` is how often they come in a week.
    """

    number: int
    distinct_id: str
    reach: Reach
    match_value: JsonValue
    name: str
    country: str
    plan: str
    platform: str
    visits: float
    joined_days_ago: int
    left_days_ago: int
    has_cancelled: bool

    @property
    def email(self) -> str:
        return f"{self.name.lower().replace(' ', '.')}.{self.number}@example.com"


@cache
def people() -> tuple[Person, ...]:
    """Return everybody, always the same."""
    rng = random.Random(SEED)  # noqa: S311 - nothing here is secret
    reaches = [reach for reach, count in COUNTS.items() for _ in range(count)]
    reaches += [Reach.MATCHED] * (PEOPLE - len(reaches))
    rng.shuffle(reaches)
    persons = [_person(FIRST_NUMBER + place, reach) for place, reach in enumerate(reaches)]
    return tuple(_with_odd_ids(persons))


def marks() -> tuple[str, str]:
    """Return two ids by which a project is known to hold these people."""
    known = [person.distinct_id for person in people() if person.reach is not Reach.ANONYMOUS]
    return known[0], known[-1]


def ids_known_to_onesignal() -> list[str]:
    """Return the External IDs that the sandbox's app has users for."""
    matched = (person.match_value for person in people() if person.reach is Reach.MATCHED)
    return sorted({value for value in matched if isinstance(value, str)})


def _person(number: int, reach: Reach) -> Person:
    # Each has dice of their own, so that a change to one of them leaves the others as they are.
    rng = random.Random(f"{SEED} {number}")  # noqa: S311
    country = rng.choices(list(_COUNTRIES), [share for share, _, _ in _COUNTRIES.values()])[0]
    _, first_names, last_names = _COUNTRIES[country]
    is_anonymous = reach is Reach.ANONYMOUS
    plan = "" if is_anonymous else rng.choices(list(_PLANS), list(_PLANS.values()))[0]
    visits = min(_VISITS[plan] * rng.lognormvariate(0, 0.9), _MAX_VISITS)
    joined_days_ago = rng.randint(2, 59) if is_anonymous or rng.random() < 0.2 else rng.randint(60, 720)
    is_lapsed = not is_anonymous and joined_days_ago >= 60 and rng.random() < _LAPSED_SHARE
    if is_lapsed:
        visits = rng.uniform(3.5, 6.0)
    elif reach in (Reach.UNKNOWN, Reach.INVALID_ID):
        # There are few of them, and the cohorts should show them.
        plan, visits = "pro", rng.uniform(4.0, 6.0)
    distinct_id = f"fern-{number}"
    match_value = distinct_id if reach in (Reach.MATCHED, Reach.UNKNOWN) else None
    if is_anonymous:
        distinct_id = f"$device:{uuid.UUID(int=rng.getrandbits(128), version=4)}"
    return Person(
        number=number,
        distinct_id=distinct_id,
        reach=reach,
        match_value=match_value,
        name=f"{rng.choice(first_names.split())} {rng.choice(last_names.split())}",
        country=country,
        plan=plan,
        platform=rng.choices(["iOS", "Android", "Web"], [45, 35, 20])[0],
        visits=visits,
        joined_days_ago=joined_days_ago,
        left_days_ago=rng.randint(16, 30) if is_lapsed else 0,
        has_cancelled=plan != "free" and not is_anonymous and rng.random() < (0.5 if is_lapsed else 0.06),
    )


def _with_odd_ids(persons: Sequence[Person]) -> list[Person]:
    """Give the invalid ids their values, and two people one id: a customer who opened a second account."""
    changed = {}
    invalid = [person for person in persons if person.reach is Reach.INVALID_ID]
    for person, value in zip(invalid, _INVALID_VALUES, strict=True):
        changed[person.number] = replace(person, match_value=value)
    matched = [person for person in persons if person.reach is Reach.MATCHED]
    first, second = [person for person in matched if person.plan == "pro" and not person.has_cancelled][:2]
    changed[first.number] = first = replace(first, visits=5.0)
    changed[second.number] = replace(
        second, visits=5.0, name=first.name, country=first.country, match_value=first.match_value
    )
    return [changed.get(person.number, person) for person in persons]
