"""Scans of events as SQL: which persons did what, measured and compared in the database."""

from __future__ import annotations

from cohorts.compile.folding import Folding
from cohorts.compile.fragments import Sql, joined, value
from cohorts.compile.plan import EventSource, Measurement, Plan, Scan
from cohorts.compile.properties import tests_sql, within
from cohorts.definition import CountMeasure
from cohorts.identity import IDENTITY_EVENTS
from cohorts.partitions import DEDUP_LAG

_DOCUMENT = Sql("event.properties")
_COMPARISONS = {
    "at_least": "{} >= {}",
    "greater_than": "{} > {}",
    "equals": "{} = {}",
    "not_equals": "{} <> {}",
    "at_most": "{} <= {}",
    "less_than": "{} < {}",
    "between": "{} BETWEEN {} AND {}",
}


def scan_sql(scan: Scan, *, plan: Plan, folding: Folding) -> Sql:
    """Return the query of `person_id` and a flag `measurement_<n>` for each measurement, for persons with a true flag.

    Deduplication is done: the table holds an event once (laws.md, L3). Every event of a person bears the person's id,
    or that of one who was merged into them and whose events are on their way (laws.md, L2).
    """
    measurements = [_measurement(measurement, plan) for measurement in scan.measurements]
    flags = [Sql("{} AS measurement_" + str(number)).fill(each) for number, each in enumerate(measurements)]
    person, redirects = _person(plan)
    return Sql("SELECT {} AS person_id, {} FROM cohorts_event AS event{} WHERE {} GROUP BY 1 HAVING {}").fill(
        person,
        joined(", ", flags),
        redirects,
        joined(" AND ", _conditions(scan.source, plan, folding)),
        joined(" OR ", measurements),
    )


def _person(plan: Plan) -> tuple[Sql, Sql]:
    """Return whose an event is, and the join that says it; without redirects in the project there is none to pay."""
    if not plan.is_redirecting:
        return Sql("event.person_id"), Sql("")
    return Sql("COALESCE(redirect.winner_id, event.person_id)"), Sql(
        " LEFT JOIN cohorts_redirect AS redirect ON redirect.project_id = {} AND redirect.loser_id = event.person_id"
        " AND redirect.swept_at IS NULL"
    ).fill(value(plan.project_id))


def _conditions(source: EventSource, plan: Plan, folding: Folding) -> list[Sql]:
    conditions = [
        Sql("event.project_id = {}").fill(value(plan.project_id)),
        # An event without a distinct_id is kept and belongs to nobody.
        Sql("event.person_id IS NOT NULL"),
        Sql("event.name = {}").fill(value(source.name))
        if source.name is not None
        else Sql("event.name <> ALL ({})").fill(value(list(IDENTITY_EVENTS))),
        within(source.interval, Sql("event.occurred_at")),
    ]
    if source.interval.start is not None:
        # Prunes partitions. From above nothing bounds it: an event sent with a time in the future lies in that time's
        # partition, and in a later partition the index finds the window empty at once.
        conditions.append(Sql("event.dedup_at >= {}").fill(value(source.interval.start - DEDUP_LAG, "timestamptz")))
    if source.filters is not None:
        conditions.append(tests_sql(source.filters, document=_DOCUMENT, folding=folding))
    return conditions


def _measurement(measurement: Measurement, plan: Plan) -> Sql:
    """Return the comparison of the aggregate; of no numbers it is unknown, so that the clause is false."""
    bounds = [value(bound, "numeric") for bound in measurement.bounds]
    measure = measurement.measure
    if isinstance(measure, CountMeasure):
        aggregate = _count(measure, plan)
    elif measure.type == "distinct_count":
        found = Sql("event.properties -> {}").fill(value(measure.property))
        aggregate = Sql("count(DISTINCT {}) FILTER (WHERE jsonb_typeof({}) <> 'null')").fill(found, found)
    else:
        aggregate, bounds = _aggregate_of_numbers(measure.type, measure.property, bounds)
    compared = Sql(_COMPARISONS[measurement.comparison]).fill(aggregate, *bounds)
    return Sql("(NOT ({}))" if measurement.is_inverted else "({})").fill(compared)


def _count(measure: CountMeasure, plan: Plan) -> Sql:
    if measure.type == "total":
        return Sql("count(*)")
    return Sql("count(DISTINCT (event.occurred_at AT TIME ZONE {})::date)").fill(value(plan.zone.key))


def _aggregate_of_numbers(kind: str, name: str, bounds: list[Sql]) -> tuple[Sql, list[Sql]]:
    """Return the aggregate and what to compare it with.

    No division, which would round: an average is compared as its sum with so many times the bound, and a median as the
    sum of the two middle numbers, which are one for an odd count, with twice the bound.
    """
    found = Sql("event.properties -> {}").fill(value(name))
    number = Sql("CASE WHEN jsonb_typeof({}) = 'number' THEN ({})::numeric END").fill(found, found)
    match kind:
        case "sum":
            return Sql("sum({})").fill(number), bounds
        case "minimum":
            return Sql("min({})").fill(number), bounds
        case "maximum":
            return Sql("max({})").fill(number), bounds
        case "average":
            return Sql("sum({})").fill(number), [Sql("{} * count({})").fill(bound, number) for bound in bounds]
        case "median":
            median = Sql(
                "(percentile_disc(0.5) WITHIN GROUP (ORDER BY {})"
                " + percentile_disc(0.5) WITHIN GROUP (ORDER BY {} DESC))"
            ).fill(number, number)
            return median, [Sql("2 * {}").fill(bound) for bound in bounds]
    raise AssertionError(f"{kind} is no measure of numbers")
