"""Original ID merge: any history of messages gives the persons, profiles, keys and counts of a model in memory."""

from __future__ import annotations

from typing import Any, TypeAlias

from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohorts.models import Project, Refusal
from tests.cast import make_project
from tests.identity.model import ONESIGNAL, OriginalModel
from tests.identity.test_original_merge import alias, identify, merge
from tests.identity.world import counted, persons, sweep
from tests.ingest.wire import account_of, event, keys, people, send, update

Step: TypeAlias = tuple[Any, ...]

NAMES = ["u1", "u2", "u3", "K"]
DEVICES = ["a-1-1-1-1", "b-2-2-2-2", "$device:c-3-3-3-3"]
IDS = st.sampled_from([*NAMES, *DEVICES])
PROPERTIES = st.dictionaries(st.sampled_from(["a", "b", ONESIGNAL]), st.sampled_from(["K", "L", "u1"]), min_size=1)
EVENT_STEPS = st.one_of(
    st.tuples(st.just("event"), IDS),
    st.tuples(st.just("identify"), IDS, IDS),
    st.tuples(st.just("alias"), IDS, IDS),
    st.tuples(st.just("merge"), IDS, IDS),
)
REQUESTS = st.lists(
    st.one_of(
        st.tuples(st.just("events"), st.lists(EVENT_STEPS, min_size=1, max_size=6)),
        st.tuples(st.just("updates"), st.lists(st.tuples(IDS, PROPERTIES), min_size=1, max_size=4)),
        st.tuples(st.just("sweep"), st.just([])),
    ),
    min_size=1,
    max_size=10,
)


def record_of(project: Project, step: Step) -> dict[str, Any]:
    make = {"identify": identify, "alias": alias, "merge": merge}
    return event(project, distinct_id=step[1]) if step[0] == "event" else make[step[0]](project, step[1], step[2])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=REQUESTS)
def test_any_history_gives_the_persons_of_the_model(
    client: Client, db: None, requests: list[tuple[str, list[Step]]]
) -> None:
    project = make_project()
    importer = account_of(project)
    model = OriginalModel()
    for kind, steps in requests:
        if kind == "sweep":
            sweep(max_events=2)
        elif kind == "events":
            assert send(client, "/import", [record_of(project, step) for step in steps], **importer) == (200, b"1")
            for name, *ids in steps:
                getattr(model, name)(*ids)
        else:
            records = [update(project, distinct_id, set=properties) for distinct_id, properties in steps]
            assert send(client, "/engage", records) == (200, b"1")
            for distinct_id, properties in steps:
                model.set(distinct_id, properties)
    assert persons(project) == {human.canonical: human.ids for human in model.humans}
    assert people(project) == {human.canonical: human.profile for human in model.humans}
    assert keys(project) == {
        human.canonical: human.profile[ONESIGNAL] for human in model.humans if ONESIGNAL in human.profile
    }
    assert sorted(model.refused) == sorted(
        reason for refusal in Refusal.objects.filter(project=project) for reason in [refusal.reason] * refusal.count
    )
    for count in {human.events for human in model.humans}:
        assert counted(project, count) == {human.canonical for human in model.humans if human.events == count}
