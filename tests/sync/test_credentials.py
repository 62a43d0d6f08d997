"""Keys at rest: encrypted, rotated, and said plainly when nothing opens them (design.md, invariant 8)."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection as database
from django.utils import timezone

from cohorts.models import Project
from integrations.encryption import CredentialUnreadable
from integrations.models import Connection, Run
from integrations.syncs import export_cohort
from tests.cast import make_cohort, make_connection, make_people, make_project, shoppers
from tests.sandbox_app import SandboxApp
from tests.sync.stories import connect_to, work

KEY = "os_v2_app_a_key_of_some_length"


def stored(connection: Connection) -> str:
    with database.cursor() as cursor:
        cursor.execute("SELECT credential FROM integrations_connection WHERE id = %s", [connection.pk])
        text: str = cursor.fetchone()[0]
    return text


def make_secret_connection() -> Connection:
    connection = make_connection(make_project())
    connection.credential = KEY
    connection.save()
    return connection


@pytest.mark.django_db
def test_a_key_is_stored_encrypted_and_read_back() -> None:
    connection = make_secret_connection()
    assert KEY not in stored(connection)
    assert Connection.objects.get(pk=connection.pk).credential == KEY


@pytest.mark.django_db
def test_the_newest_key_encrypts_and_every_listed_one_decrypts(settings: Any) -> None:
    connection = make_secret_connection()
    old = settings.CREDENTIAL_KEYS
    new = Fernet.generate_key().decode()
    settings.CREDENTIAL_KEYS = [new, *old]
    again = Connection.objects.get(pk=connection.pk)
    assert again.credential == KEY
    again.save()
    settings.CREDENTIAL_KEYS = [new]
    assert Connection.objects.get(pk=connection.pk).credential == KEY
    settings.CREDENTIAL_KEYS = old
    with pytest.raises(CredentialUnreadable, match="CREDENTIAL_KEYS"):
        Connection.objects.get(pk=connection.pk)


@pytest.mark.django_db(transaction=True)
def test_a_key_that_nothing_opens_stops_its_own_connection_with_a_sentence(
    onesignal: SandboxApp, settings: Any
) -> None:
    project: Project = make_project()
    make_people(project, shoppers(["ann"], plan="pro"))
    onesignal.add_users("ann")
    healthy, broken = connect_to(onesignal, project), connect_to(onesignal, project)
    cohort, now = make_cohort(project), timezone.now()
    runs = [
        export_cohort(cohort=cohort, connection=each, mode="dynamic", by=None, now=now)[0].runs.get()
        for each in (broken, healthy)
    ]
    with database.cursor() as cursor:
        foreign = Fernet(Fernet.generate_key()).encrypt(KEY.encode()).decode()
        cursor.execute("UPDATE integrations_connection SET credential = %s WHERE id = %s", [foreign, broken.pk])
    work(healthy)
    for run in runs:
        run.refresh_from_db()
    assert [run.status for run in runs] == [Run.Status.FAILED, Run.Status.SUCCEEDED]
    assert (runs[0].error or "").startswith("A stored credential cannot be read with the keys in CREDENTIAL_KEYS.")
    assert Connection.objects.defer("credential").get(pk=broken.pk).status == Connection.Status.ERROR
