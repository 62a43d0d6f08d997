"""The Celery application: queues, late acknowledgement and the beat entries.

Truth is in PostgreSQL (runs, leases, `next_run_at`); Celery only carries the wish to look there. A task that is lost,
late or delivered twice therefore costs time, never correctness.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cohortsync.settings")

app = Celery("cohortsync")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
