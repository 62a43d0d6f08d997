"""/livez and /healthz: true, cheap, open to every prober, and each check says what to do."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from cohortsync import health
from cohortsync.tasks import heartbeat


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No life signs and no remembered answer from another test."""
    with redis.Redis.from_url(django_settings.REDIS_URL) as client:
        client.delete(*health.LIFE_SIGN_KEYS)
        monkeypatch.setattr(health, "_recent_checks", health._Recent(health.run_checks))
        yield
        client.delete(*health.LIFE_SIGN_KEYS)


def ask(client: Client) -> tuple[int, dict[str, Any]]:
    answer = client.get("/healthz")
    return answer.status_code, answer.json()["checks"]


def test_livez_needs_neither_database_nor_broker(client: Client, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = client.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_healthz_waits_for_a_worker_and_beat(client: Client) -> None:
    status, checks = ask(client)
    assert status == 503
    assert {name for name, check in checks.items() if not check["ok"]} == {"worker", "beat"}
    assert "see that a Celery worker runs" in checks["worker"]["detail"]


@pytest.mark.django_db
def test_healthz_is_well_once_beats_task_has_come_round(client: Client) -> None:
    heartbeat(queued_at=time.time())
    status, checks = ask(client)
    assert status == 200
    assert set(checks) == {"database", "migrations", "broker", "worker", "beat"}


@pytest.mark.django_db
def test_a_beat_silent_for_over_a_minute_is_named(client: Client) -> None:
    health.record_life_signs(beat_at=time.time() - 61, worker_at=time.time() - 59)
    status, checks = ask(client)
    assert status == 503
    assert checks["worker"]["ok"]
    assert checks["beat"]["detail"].startswith("Beat has not answered for 61 s")


@pytest.mark.django_db
def test_a_missing_migration_is_said(client: Client) -> None:
    heartbeat(queued_at=time.time())
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
    status, checks = ask(client)
    assert status == 503
    assert checks["migrations"]["detail"] == "1 migrations have not been applied; run `manage.py migrate`."


@pytest.mark.django_db
def test_a_lost_broker_is_said_without_its_address(client: Client, settings: Any) -> None:
    settings.REDIS_URL = "redis://:a-password@127.0.0.1:1/0"
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert not answer.json()["checks"]["broker"]["ok"]
    assert "a-password" not in answer.content.decode()


@pytest.mark.django_db
def test_a_lost_sandbox_counts_where_there_is_one(client: Client, settings: Any) -> None:
    heartbeat(queued_at=time.time())
    settings.SANDBOX_URL = "http://127.0.0.1:1"
    status, checks = ask(client)
    assert status == 503
    assert "does not answer" in checks["sandbox"]["detail"]


@pytest.mark.django_db
def test_probes_need_no_host_name_and_no_https(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["cohortsync.example.com"]
    settings.SECURE_SSL_REDIRECT = True
    heartbeat(queued_at=time.time())
    assert client.get("/healthz", headers={"host": "10.0.0.7:8000"}).status_code == 200


@pytest.mark.django_db
def test_many_probes_ask_once_a_second(client: Client, django_assert_num_queries: Any) -> None:
    heartbeat(queued_at=time.time())
    assert ask(client)[0] == 200
    with django_assert_num_queries(0):
        assert ask(client)[0] == 200


def test_the_heartbeat_carries_the_time_at_which_beat_sent_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.time()
    with heartbeat.app.connection_for_write() as broker:
        heartbeat.apply_async(connection=broker, queue="of-this-test")
        message = broker.SimpleQueue("of-this-test").get(timeout=5)
        message.ack()
    assert before <= message.payload[1]["queued_at"] <= time.time()


@pytest.mark.django_db
def test_the_command_tells_the_same_and_fails_when_a_named_check_does(capsys: pytest.CaptureFixture[str]) -> None:
    health.record_life_signs(beat_at=0, worker_at=time.time())
    call_command("health", "worker")
    with pytest.raises(CommandError, match="Not every check is ok"):
        call_command("health", "beat", "worker")
    assert "NOT beat" in capsys.readouterr().out
    with pytest.raises(CommandError, match="No check is called queue"):
        call_command("health", "queue")
