"""The exact command of each process, said once: `up` starts these, and docker-compose.yml holds the same (tested).

All are run as modules, so that a moved checkout or an image needs no installed scripts.
"""

from pathlib import Path

APP = "cohortsync"


def web_command(*, python: str, bind: str) -> tuple[str, ...]:
    """The web server; everything but the address is in `cohortsync/standalone/web.py`."""
    config = "python:cohortsync.standalone.web"
    return (python, "-m", "gunicorn", "--config", config, "--bind", bind, "cohortsync.wsgi:application")


def worker_command(*, python: str, concurrency: int = 2) -> tuple[str, ...]:
    """A worker for all queues; as many as wanted may run, on as many hosts."""
    return (
        *(python, "-m", "celery", "--quiet", "--app", APP, "worker"),
        *("--queues", "sync,ingest,maintenance", "--concurrency", str(concurrency), "--loglevel", "INFO"),
        # Workers need not know of each other: work is shared out by leases in PostgreSQL. Saves a second at the start.
        *("--without-gossip", "--without-mingle"),
    )


def beat_command(*, python: str) -> tuple[str, ...]:
    """The clock. It keeps no file: what is due when stands in PostgreSQL, and a file can be torn by a kill."""
    return (
        *(python, "-m", "celery", "--quiet", "--app", APP, "beat"),
        *("--scheduler", "celery.beat:Scheduler", "--loglevel", "INFO"),
    )


def migrate_command(*, python: str) -> tuple[str, ...]:
    """Bring the database to this version; safe to run on a running system."""
    return (python, "manage.py", "migrate", "--no-input")


def collectstatic_command(*, python: str) -> tuple[str, ...]:
    """Gather the static files for the web server; the image does it while it is built."""
    return (python, "manage.py", "collectstatic", "--no-input", "--verbosity", "0")


def bootstrap_command(*, python: str, email: str, project: str) -> tuple[str, ...]:
    """Make the demo project and its login unless they are there."""
    return (python, "manage.py", "bootstrap", "--email", email, "--project", project, "--staff", "--json")


def demo_command(*, python: str, project_id: int) -> tuple[str, ...]:
    """Fill the demo project unless it is filled; the sandbox has to answer by then."""
    return (python, "manage.py", "demo", "--project", str(project_id))


def sandbox_command(*, python: str, port: int, state_dir: Path) -> tuple[str, ...]:
    """The OneSignal stand-in for demos and tests; absent in production."""
    module = "integrations.destinations.onesignal.sandbox"
    return (python, "-m", module, "--port", str(port), "--state-dir", str(state_dir))
