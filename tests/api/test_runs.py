"""Runs by REST: their counts, and each member's outcome as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from pyroaring import BitMap

from cohorts.models import MatchKey
from integrations.bitmaps import bitmap_bytes
from integrations.models import RunBitmap
from tests.api.cast import NOON, make_run
from tests.api.conftest import Premises
from tests.cast import make_people, shoppers

SHAPE = {
    "id",
    "sync_id",
    "trigger",
    "status",
    "as_of",
    "queued_at",
    "started_at",
    "finished_at",
    "coverage",
    "counts",
    "requests",
    "error",
    "error_kind",
}
COUNTS = {
    "to_add",
    "to_remove",
    "unchanged",
    "added",
    "removed",
    "unmatched",
    "rejected",
    "left_to_add",
    "left_to_remove",
}


def read_csv(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))


def test_a_run_shows_its_coverage_and_counts(shop: Premises) -> None:
    run = make_run(
        shop.sync,
        as_of=NOON,
        members=6,
        anonymous=1,
        without_match_property=1,
        invalid_id=1,
        matched_profiles=3,
        matched_keys=3,
        resolve_seconds=0.25,
        to_add=2,
        unchanged=1,
        added=1,
        unmatched=1,
        requests=2,
    )

    answer = shop.admin.call("GET", f"runs/{run.pk}").json()

    assert set(answer) >= SHAPE
    assert answer["as_of"] == answer["coverage"]["as_of"] == "2026-11-23T12:00:00Z"
    assert answer["coverage"]["members"] == 6
    assert answer["coverage"]["seconds"] == 0.25
    assert set(answer["counts"]) == COUNTS
    assert (answer["counts"]["to_add"], answer["counts"]["added"], answer["counts"]["unmatched"]) == (2, 1, 1)
    assert (answer["error"], answer["error_kind"], answer["requests"]) == (None, None, 2)


def test_a_run_that_waits_has_no_coverage_yet(shop: Premises) -> None:
    answer = shop.admin.call("GET", f"runs/{make_run(shop.sync, status='queued').pk}").json()

    assert set(answer["coverage"].values()) == {None}


def test_the_members_of_a_run_come_as_csv(shop: Premises) -> None:
    make_people(shop.project, shoppers(["ada", "bob", "=cmd()"]))
    keys = dict(MatchKey.objects.filter(project=shop.project).values_list("value", "id"))
    run = make_run(shop.sync, as_of=NOON)
    for kind, names in {"wanted": keys, "to_add": ["ada", "=cmd()"], "added": ["ada"], "unmatched": ["=cmd()"]}.items():
        recipients = bitmap_bytes(BitMap(keys[name] for name in names))
        RunBitmap.objects.create(run=run, kind=kind, recipients=recipients)

    answer = shop.admin.call("GET", f"runs/{run.pk}/members.csv")

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert f'filename="run-{run.pk}-members.csv"' in answer.headers["Content-Disposition"]
    rows = {row["match_key"]: row for row in read_csv(answer)}
    assert list(rows["ada"]) == ["distinct_id", "match_key", "operation", "outcome", "reason"]
    assert (rows["ada"]["distinct_id"], rows["ada"]["operation"]) == ("ada", "add")
    assert rows["bob"]["operation"] == "no-op"
    assert rows["'=cmd()"]["outcome"] == "unmatched"


def test_a_run_that_resolved_nothing_has_only_the_header(shop: Premises) -> None:
    answer = shop.admin.call("GET", f"runs/{make_run(shop.sync, status='queued').pk}/members.csv")

    assert b"".join(answer.streaming_content) == b"distinct_id,match_key,operation,outcome,reason\r\n"
