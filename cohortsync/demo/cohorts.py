"""The demo's cohorts: one for each way to choose people, by what they are, by what they did, and by both."""

from __future__ import annotations

from dataclasses import dataclass

_Condition = dict[str, object]


@dataclass(frozen=True, slots=True)
class DemoCohort:
    """A cohort to be saved."""

    name: str
    description: str
    conditions: tuple[_Condition, ...]

    @property
    def definition(self) -> dict[str, object]:
        """All of its conditions, in one group."""
        return {"match": "all", "groups": [{"match": "all", "conditions": list(self.conditions)}]}


def _profile(name: str, value: str) -> _Condition:
    return {"kind": "property", "property": name, "type": "string", "operator": "equals", "values": [value]}


def _did(event: str, days: int, *, ending_ago: int = 0, **rest: object) -> _Condition:
    window = {"type": "last", "unit": "day", "value": days, "ending_ago": ending_ago}
    return {"kind": "event", "event": event, "did": True, "window": window, **rest}


COHORTS = (
    DemoCohort(
        "Pro users active this week",
        "On the pro plan, and opened the app in the last 7 days.",
        (_profile("plan", "pro"), _did("App Opened", 7)),
    ),
    DemoCohort(
        "Big spenders, 30 days",
        "Bought for 100 dollars or more in the last 30 days.",
        (_did("Purchase", 30, measure={"type": "sum", "property": "dollars"}, operator="at_least", value=100),),
    ),
    DemoCohort(
        "Abandoned carts",
        "Put something into the cart in the last 7 days and bought nothing. Visitors who never signed up count too; "
        "an export cannot reach them.",
        (_did("Added to Cart", 7), _did("Purchase", 7, did=False)),
    ),
    DemoCohort(
        "Lapsed power users",
        "Opened the app on 8 days or more of a month, and not once in the last two weeks.",
        (
            _did("App Opened", 30, ending_ago=14, measure={"type": "distinct_days"}, operator="at_least", value=8),
            _did("App Opened", 14, did=False),
        ),
    ),
    DemoCohort(
        "Everyone on the free plan in Germany",
        "By profile alone: the plan is free and the country is Germany.",
        (_profile("plan", "free"), _profile("country", "Germany")),
    ),
)
