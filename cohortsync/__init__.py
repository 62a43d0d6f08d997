"""CohortSync's assembly: settings, URLs, Celery, health, the REST API and the `up` supervisor."""

from cohortsync.celery import app as celery_app

__all__ = ["celery_app"]
