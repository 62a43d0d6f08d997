"""/livez and /healthz: is this process alive, and does the whole product work (api.md, "Health").

Beat and the workers show their life through the very way that work takes: see `cohortsync.tasks`. No login, no secrets.
"""

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.db import Error, connection
from django.db.migrations.exceptions import MigrationSchemaMissing
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from redis.backoff import NoBackoff
from redis.retry import Retry

WORKER_KEY = f"{settings.KEY_PREFIX}health:worker"
BEAT_KEY = f"{settings.KEY_PREFIX}health:beat"
LIFE_SIGN_KEYS = (WORKER_KEY, BEAT_KEY)
MAX_AGE_SECONDS = 60.0
ANSWER_TIMEOUT_SECONDS = 2.0
CACHE_SECONDS = 1.0


@dataclass(frozen=True)
class Check:
    """One part's answer; `detail` says what to do when it is not ok."""

    ok: bool
    detail: str


@require_safe
def livez(_request: HttpRequest) -> HttpResponse:
    """Answer as long as this process does."""
    return JsonResponse({"status": "ok"})


@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """Answer 200 when every part has answered within the last minute, else 503 with what to do."""
    checks = _recent_checks()
    is_well = all(check.ok for check in checks.values())
    response = JsonResponse(
        {
            "status": "ok" if is_well else "unavailable",
            "checks": {name: asdict(check) for name, check in checks.items()},
        },
        status=200 if is_well else 503,
        headers={"Cache-Control": "no-store"},
    )
    # Django would log every 503 as an error of ours, several a second while `up` waits.
    setattr(response, "_has_been_logged", True)  # noqa: B010
    return response


def answer_health_first(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware, the first of all: probes come by address, over plain HTTP, and too often for a log line each."""
    views = {"/livez": livez, "/healthz": healthz}

    def answer(request: HttpRequest) -> HttpResponse:
        return views.get(request.path_info, get_response)(request)

    return answer


def run_checks() -> dict[str, Check]:
    """Ask every part; the sandbox only where it is part of this installation."""
    checks = {"database": check_database, "migrations": check_migrations, "broker": check_broker}
    answers = {name: check() for name, check in checks.items()}
    answers |= check_life_signs(now=time.time())
    if settings.SANDBOX_URL is not None:
        answers["sandbox"] = check_sandbox(settings.SANDBOX_URL)
    return answers


def check_database() -> Check:
    """Ask PostgreSQL for an answer."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:  # among them the lost connection, which is no DatabaseError
        return Check(False, "PostgreSQL does not answer; see that it runs and that DATABASE_URL names it.")
    return Check(True, "PostgreSQL answered.")


def check_migrations() -> Check:
    """See that the database has the form that this version of the program expects."""
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (Error, MigrationSchemaMissing):
        return Check(False, "PostgreSQL does not say which migrations it has had; see the check `database`.")
    if missing:
        return Check(False, f"{len(missing)} migrations have not been applied; run `manage.py migrate`.")
    return Check(True, "All migrations have been applied.")


def check_broker() -> Check:
    """Ask Redis for an answer."""
    try:
        with _redis() as client:
            client.ping()
    except redis.RedisError:
        return Check(False, "Redis does not answer; see that it runs and that REDIS_URL names it.")
    return Check(True, "Redis answered.")


def check_life_signs(*, now: float) -> dict[str, Check]:
    """See that a worker and beat have given a life sign within the last minute before `now` (seconds since 1970)."""
    try:
        with _redis() as client:
            worker_at, beat_at = client.mget(LIFE_SIGN_KEYS)
    except redis.RedisError:
        unknown = Check(False, "Unknown while Redis does not answer; see the check `broker`.")
        return {"worker": unknown, "beat": unknown}
    return {
        "worker": _check_age(
            "No worker has", worker_at, "see that a Celery worker runs on the queue `maintenance`.", now
        ),
        "beat": _check_age("Beat has not", beat_at, "see that Celery beat runs, and a worker with it.", now),
    }


def check_sandbox(url: str) -> Check:
    """Ask the OneSignal sandbox beside this process for an answer."""
    address = urlsplit(url)
    link = http.client.HTTPConnection(str(address.hostname), address.port, timeout=ANSWER_TIMEOUT_SECONDS)
    try:
        link.request("GET", "/healthz")
        answer = link.getresponse()
    except (OSError, http.client.HTTPException):
        return Check(False, f"The OneSignal sandbox at {url} does not answer; see its lines in the log of `make up`.")
    finally:
        link.close()
    if answer.status >= 500:
        return Check(
            False, f"The OneSignal sandbox at {url} answers {answer.status}; see its lines in the log of `make up`."
        )
    return Check(True, "The OneSignal sandbox answered.")


def record_life_signs(*, beat_at: float, worker_at: float) -> None:
    """Keep when beat and a worker were last alive, in seconds since 1970."""
    with _redis() as client:
        client.mset({BEAT_KEY: beat_at, WORKER_KEY: worker_at})


def _check_age(who: str, seen_at: bytes | None, remedy: str, now: float) -> Check:
    if seen_at is None:
        return Check(False, f"{who} answered yet; {remedy}")
    age = now - float(seen_at)
    if age > MAX_AGE_SECONDS:
        return Check(False, f"{who} answered for {age:.0f} s; {remedy}")
    return Check(True, f"Answered {max(age, 0):.0f} s ago.")


def _redis() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=ANSWER_TIMEOUT_SECONDS,
        socket_connect_timeout=ANSWER_TIMEOUT_SECONDS,
        # A probe wants to know how it is now, not after the client's own pauses of seconds.
        retry=Retry(NoBackoff(), 0),
    )


class _Recent:
    """The last good answers, for a second: health may be asked by anybody, as often as they like.

    Bad ones are not kept: each web process has its own memory, and after a start one would still say no while the
    other says yes.
    """

    def __init__(self, ask: Callable[[], dict[str, Check]]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._good_until = float("-inf")
        self._answers: dict[str, Check] = {}

    def __call__(self) -> dict[str, Check]:
        with self._lock:
            if time.monotonic() >= self._good_until:
                self._answers = self._ask()
                if all(check.ok for check in self._answers.values()):
                    self._good_until = time.monotonic() + CACHE_SECONDS
            return self._answers


_recent_checks = _Recent(run_checks)
