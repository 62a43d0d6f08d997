"""Importing files with `import_events` and `import_profiles`."""

from __future__ import annotations

import csv
import gzip
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from cohorts.files import MAX_LINE_BYTES, cell_value
from cohorts.models import Event, Person, Project
from tests.cast import at
from tests.ingest.wire import ids_of, keys, people, person, stored

CDNOW = Path(__file__).parent.parent / "fixtures" / "cdnow-sample.csv"
ORDERS = {"event": "Purchase", "distinct_id": "customer_id", "time": "date"}


def run(command: str, path: Path, project: Project, **options: Any) -> str:
    out = StringIO()
    call_command(command, str(path), project=project.pk, stdout=out, stderr=StringIO(), **options)
    return out.getvalue()


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_orders_are_imported_once(shop: Project) -> None:
    assert "2,512 lines: 2,512 events added, 0 changed, 0 there already, 0 refused." in run(
        "import_events", CDNOW, shop, **ORDERS
    )
    assert "0 events added, 0 changed, 2,512 there already" in run("import_events", CDNOW, shop, **ORDERS)
    with CDNOW.open(newline="") as file:
        expected = sorted(
            (row["customer_id"], at(row["date"]), int(row["number_of_cds"]), float(row["dollar_value"]))
            for row in csv.DictReader(file)
        )
    assert expected == sorted(
        (row.distinct_id, row.occurred_at, row.properties["number_of_cds"], row.properties["dollar_value"])
        for row in Event.objects.filter(project=shop, name="Purchase")
    )
    assert Person.objects.filter(project=shop).count() == 730


def test_the_same_lines_packed_add_nothing(shop: Project, tmp_path: Path) -> None:
    run("import_events", CDNOW, shop, **ORDERS)
    packed = written(tmp_path, "orders.csv.gz", gzip.compress(CDNOW.read_bytes()))
    assert "2,512 there already" in run("import_events", packed, shop, **ORDERS)


def test_identity_events_in_a_file_link_ids(shop: Project, tmp_path: Path) -> None:
    lines = "what,id,$anon_distinct_id,when\nPurchase,a-b-c-d-e,,1767225600\n$identify,ann,a-b-c-d-e,1767225601\n"
    path = written(tmp_path, "events.csv", lines)
    run("import_events", path, shop, event_column="what", distinct_id="id", time="when")
    assert ids_of(shop, "ann") == ["a-b-c-d-e", "ann"]


def test_a_file_links_devices_and_has_no_identity_events_on_simplified_id_merge(
    simple_shop: Project, tmp_path: Path
) -> None:
    lines = "what,id,$user_id,$device_id,when\nPurchase,ann,ann,d,1767225600\n$identify,ann,,,1767225601\n"
    path = written(tmp_path, "events.csv", lines)
    out = run("import_events", path, simple_shop, event_column="what", distinct_id="id", time="when")
    assert "1 events added, 0 changed, 0 there already, 1 refused." in out
    assert ids_of(simple_shop, "ann") == ["$device:d", "ann"]


def test_a_dry_run_stores_nothing(shop: Project) -> None:
    assert "2,512 can be imported, 0 refused; nothing was stored" in run(
        "import_events", CDNOW, shop, dry_run=True, **ORDERS
    )
    assert not stored(shop)


def test_refused_lines_are_reported_by_number(shop: Project, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "events.csv",
        'id,when,what\nann,2026-01-01,"a\nb"\n,2026-01-01,x\nbob,yesterday,x\n\ncy,2026-01-01\ndee,2100-01-01,x\n'
        "null,2026-01-01,x\nedd,1960-01-01,x\nfay,1767225601,x\n",
    )
    report = tmp_path / "refused.csv"
    out = run("import_events", path, shop, event="E", distinct_id="id", time="when", report=report)
    assert "8 lines: 2 events added, 0 changed, 0 there already, 6 refused." in out
    assert "line 4: Column 'id' holds no id." in out
    with report.open(newline="") as file:
        lines = [(int(row["line"]), row["reason"].partition(",")[0]) for row in csv.DictReader(file)]
    assert lines == [
        (4, "Column 'id' holds no id."),
        (5, "Column 'when' holds 'yesterday'"),
        (7, "The line has 2 cells"),
        (8, "Column 'when' holds a time in the future."),
        (9, "Column 'id' holds 'null'"),
        (10, "Column 'when' holds '1960-01-01'"),
    ]
    assert [row.properties for row in stored(shop)] == [{"what": "a\nb"}, {"what": "x"}]


def test_only_the_first_refused_lines_are_on_the_screen(shop: Project, tmp_path: Path) -> None:
    path = written(tmp_path, "events.csv", "id,when\n" + "ann,never\n" * 25 + "ann,2026-01-01\n")
    out = run("import_events", path, shop, event="E", distinct_id="id", time="when")
    assert out.count("which is no time") == 10
    assert "... and 15 more refused lines; --report FILE lists all." in out


def test_strict_makes_any_refused_line_a_failure_and_still_imports_the_others(shop: Project, tmp_path: Path) -> None:
    path = written(tmp_path, "events.csv", "id,when\nann,never\nann,2026-01-01\n")
    options = {"event": "E", "distinct_id": "id", "time": "when"}
    with pytest.raises(CommandError, match="1 lines were refused, and --strict was given"):
        run("import_events", path, shop, strict=True, **options)
    assert len(stored(shop)) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "a.csv is empty."),
        ("a.csv", "\n\n", "a.csv holds blank lines only."),
        ("a.csv", "id,when\n", "The file holds no lines to import."),
        ("a.csv", "id,when\nann,never\n", "Nothing could be imported."),
        ("a.csv", "id,date\n", "a.csv has no column 'when'. It has: id, date."),
        ("a.csv", "id,id\n", "The first line of a.csv names the column 'id' twice."),
        ("a.csv", "id,,when\n", "Column 2 in the first line of a.csv has no name."),
        ("a.csv", b"id,when\nann,2026\nb\xe4,2026\n", "a.csv is not UTF-8: line 3 holds the byte 0xE4."),
        ("a.csv", b"id,when\nann,2026\nb\xc3", "a.csv is not UTF-8: line 3 holds the byte 0xC3."),
        ("a.csv", 'id,when\nann,"2026\n' + "x\n" * 600_000, "a.csv cannot be read from line 2 on: field larger"),
        ("a.csv", "id,when\n" + "x" * (MAX_LINE_BYTES + 1), "Line 2 of a.csv is longer than 1048576 bytes."),
        ("a.txt", "id,when\n", "a.txt is neither .csv nor .ndjson"),
        ("a.ndjson.gz", gzip.compress(b"{}\n" * 99, mtime=0)[:-9], "cannot be read: Compressed file ended"),
        ("a.ndjson.gz", b"no gzip", "cannot be read: Not a gzipped file"),
    ],
)
def test_a_file_that_cannot_be_imported_says_why(
    shop: Project, tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(CommandError) as refused:
        run("import_events", written(tmp_path, name, content), shop, event="E", distinct_id="id", time="when")
    assert message in str(refused.value)
    assert not stored(shop)


def test_a_file_that_is_not_there_says_so(shop: Project, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"none\.csv cannot be read: No such file or directory"):
        run("import_events", tmp_path / "none.csv", shop, event="E", distinct_id="id", time="when")


def test_an_unknown_project_says_which_there_are(shop: Project) -> None:
    gone = Project(pk=shop.pk + 1)
    with pytest.raises(CommandError, match=rf"There is no project {gone.pk}. There are: {shop.pk} \(Shop\)"):
        run("import_events", CDNOW, gone, **ORDERS)


def test_events_need_a_name(shop: Project) -> None:
    with pytest.raises(CommandError, match=r"no column 'event'.* Say with --event NAME or --event-column COLUMN"):
        run("import_events", CDNOW, shop, distinct_id="customer_id", time="date")


def test_names_and_insert_ids_may_come_from_columns(shop: Project, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "a.csv",
        "what,id,when,key\nA,1,2026-01-01,k 1\nB,1,2026-01-01,k 2\nA,1,2026-01-01,k 1\nA,1,2026-01-01,\n",
    )
    options = {"event_column": "what", "distinct_id": "id", "time": "when", "insert_id": "key"}
    out = run("import_events", path, shop, **options)
    assert "4 lines: 2 events added, 0 changed, 1 there already, 1 refused." in out
    assert [(row.name, row.insert_id, row.properties) for row in stored(shop)] == [("A", "k 1", {}), ("B", "k 2", {})]


def test_times_are_read_in_many_forms(shop: Project, tmp_path: Path) -> None:
    moments = [
        "1997-01-01",
        "19970101",
        "1997-01-01T00:00:00",
        "1997-01-01 00:00:00",
        "1997-01-01T00:00:00Z",
        "1997-01-01T02:00:00+02:00",
        "852076800",
        "852076800.0",
        "852076800000",
        " 1997-01-01 ",
    ]
    path = written(tmp_path, "a.csv", "id,when\n" + "".join(f"ann,{moment}\n" for moment in moments))
    run("import_events", path, shop, event="E", distinct_id="id", time="when")
    assert [row.occurred_at for row in stored(shop)] == [at("1997-01-01")] * len(moments)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-0.5", -0.5),
        ("12.00", 12.0),
        ("0", 0),
        ("007", "007"),
        ("1e5", "1e5"),
        ("+1", "+1"),
        ("1.", "1."),
        ("1234567890123456", "1234567890123456"),
        ("NaN", "NaN"),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        (" 1", " 1"),
        ("1997-01-01", "1997-01-01"),
    ],
)
def test_cells_become_numbers_and_booleans_where_they_are_written_so(text: str, value: object) -> None:
    assert cell_value(text) == value
    assert type(cell_value(text)) is type(value)


def test_json_lines_of_an_export_are_taken_as_they_are(shop: Project, tmp_path: Path) -> None:
    lines = (
        '\ufeff{"event":"A","properties":{"distinct_id":7,"time":1700000000,"$insert_id":"q1","a":{"b":[1]}}}\n'
        'rubbish\n[]\n\n{"event":"A","distinct_id":"z","time":"2026-01-01","$insert_id":"q2","n":1.0}\n'
        '{"event":"A","properties":{"distinct_id":"z","time":1700000000,"$insert_id":"q3","s":"'
        + "x"
        * 2_000_000
        + '"}}\n'
        '{"event":"A","properties":{"distinct_id":"last","time":1700000000,"$insert_id":"q4"}}'
    )
    options = {"event_column": "event", "distinct_id": "distinct_id", "time": "time", "insert_id": "$insert_id"}
    for name, content in (("a.ndjson", lines.encode()), ("a.ndjson.gz", gzip.compress(lines.encode()))):
        out = run("import_events", written(tmp_path, name, content), shop, **options)
        assert "6 lines" in out
        assert "line 2: The line is not valid JSON" in out
        assert "line 3: The line is not a JSON object." in out
        assert "line 6: The line is longer than 1048576 bytes." in out
    assert [(row.distinct_id, row.insert_id, row.properties) for row in stored(shop)] == [
        ("7", "q1", {"a": {"b": [1]}}),
        ("last", "q4", {}),
        ("z", "q2", {"n": 1.0}),
    ]


def test_profiles_are_set_line_by_line(shop: Project, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "people.csv",
        "id,$name,plan,visits,$onesignal_user_id,zip\n1,Ann,pro,5,1001,01234\n2,Bob,,,,\n1,,free,,,99999\n,X,,,,\n",
    )
    out = run("import_profiles", path, shop, distinct_id="id", text_column=["zip"])
    assert "4 lines: 2 persons added, 0 changed, 1 there already, 1 refused." in out
    assert people(shop) == {
        "1": {"$name": "Ann", "plan": "free", "visits": 5, "$onesignal_user_id": "1001", "zip": "99999"},
        "2": {"$name": "Bob"},
    }
    assert keys(shop) == {"1": "1001"}
    assert ids_of(shop, "1") == ["1", "1001"]
    assert person(shop, "1").profile_updated_at is not None
    out = run("import_profiles", path, shop, distinct_id="id", text_column=["zip"], dry_run=True)
    assert "3 can be imported, 1 refused" in out


def test_profiles_come_as_json_lines_too(shop: Project, tmp_path: Path) -> None:
    lines = '{"$distinct_id":"ann","$properties":{"a":[1],"n":null}}\n{"$distinct_id":"bob","b":true}\n'
    run("import_profiles", written(tmp_path, "p.ndjson", lines), shop, distinct_id="$distinct_id")
    assert people(shop) == {"ann": {"a": [1]}, "bob": {"b": True}}
    out = run("import_profiles", written(tmp_path, "p.ndjson", lines), shop, distinct_id="$distinct_id")
    assert "0 persons added, 0 changed, 2 there already" in out


def test_a_quotation_mark_that_is_never_closed_is_said_and_swallows_nothing(tmp_path: Path, shop: Project) -> None:
    path = written(tmp_path, "people.csv", 'id,plan\nq1,"pro\nq2,free\nq3,free\n')
    with pytest.raises(CommandError, match="Is a quotation mark not closed"):
        run("import_profiles", path, shop, distinct_id="id")
    assert not Person.objects.filter(project=shop).exists()


def test_an_empty_time_is_called_empty(tmp_path: Path, shop: Project) -> None:
    path = written(tmp_path, "orders.csv", "id,date\nann,\nbob,2026-01-31\n")
    assert "column 'date' is empty" in run(
        "import_events", path, shop, event="Purchase", distinct_id="id", time="date"
    ).replace("Column", "column")
