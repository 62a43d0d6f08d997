"""Erasing persons by the REST API and by the command."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from cohorts.models import Erasure, Person, Project
from tests.api.conftest import Premises
from tests.cast import make_people

pytestmark = pytest.mark.django_db


def names(project: Project) -> list[str]:
    return sorted(Person.objects.filter(project=project).values_list("distinct_id", flat=True))


def test_persons_are_erased_by_any_of_their_ids_and_the_request_can_be_read(shop: Premises) -> None:
    make_people(shop.project, {"ann": {}, "a/b?c": {}, "bob": {}})
    before = set(names(shop.project))
    answer = shop.admin.call("POST", "erasures", {"distinct_ids": ["ann", "a/b?c", "nobody"]})
    assert answer.status_code == 202
    made = answer.json()
    assert (made["persons"], made["status"]) == (2, "removing")
    assert before - set(names(shop.project)) == {"ann", "a/b?c"}
    assert shop.admin.call("GET", f"erasures/{made['id']}").json() == made
    assert shop.admin.call("GET", "erasures").json()["results"] == [made]
    assert "ann" not in answer.content.decode()


@pytest.mark.parametrize("ids", [[], [""], [f"u{number}" for number in range(2001)], [5], "ann", None])
def test_what_is_no_list_of_ids_is_refused(shop: Premises, ids: Any) -> None:
    answer = shop.admin.call("POST", "erasures", {"distinct_ids": ids})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("distinct_ids")
    assert not Erasure.objects.exists()


def test_an_erasure_of_another_project_is_not_there(shop: Premises, rival: Premises) -> None:
    made = rival.admin.call("POST", "erasures", {"distinct_ids": ["ann"]}).json()
    assert shop.admin.call("GET", f"erasures/{made['id']}").status_code == 404
    assert shop.admin.call("GET", "erasures/nonsense").status_code == 404


def test_the_command_takes_ids_from_standard_input(shop: Premises, monkeypatch: pytest.MonkeyPatch) -> None:
    make_people(shop.project, {"ann": {}, " spaced id": {}})
    monkeypatch.setattr("sys.stdin", io.StringIO("ann\n spaced id\n\n"))
    out = io.StringIO()
    call_command("erase_person", project=shop.project.pk, stdout=out)
    assert json.loads(out.getvalue())["persons"] == 2
    assert not {"ann", " spaced id"} & set(names(shop.project))
    assert Erasure.objects.get().requested_by.startswith("manage.py by ")


def test_the_command_says_what_is_missing(shop: Premises, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(CommandError, match="at least one id"):
        call_command("erase_person", project=shop.project.pk)
    with pytest.raises(CommandError, match="no connection"):
        call_command("erase_person", project=shop.project.pk, left=0)
    with pytest.raises(CommandError, match="works"):
        call_command("erase_person", project=shop.project.pk, removed_by_hand=shop.connection.pk)
