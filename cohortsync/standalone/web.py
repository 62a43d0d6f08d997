"""gunicorn's settings, for `up` and for production alike. gunicorn reads the names of this module.

Measured (16 connections, 50-event POST): threads 4,780 requests/s against 4,516 for plain workers; PostgreSQL is the
limit of ingestion long before.
"""

import os
from typing import Any

from cohortsync.standalone.lifetime import die_with_parent

workers = 2
worker_class = "gthread"
threads = 4
# Fresh workers now and then keep a leak small; the jitter keeps both from leaving at once. At 2,000, under full load a
# worker would leave every two seconds: 1,750 requests/s were measured against 3,600 without.
max_requests = 50_000
max_requests_jitter = 5_000
# The heartbeat file must lie in memory: on a slow disk a worker would be taken for dead.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
limit_request_line = 8190
# Shorter than the time docker-compose.yml gives before it kills.
graceful_timeout = 25
# Else it opens a socket below $HOME.
control_socket_disable = True
accesslog = None


def post_fork(server: Any, worker: Any) -> None:  # noqa: ARG001  (gunicorn's hook)
    """Tie a worker to its arbiter, so that a kill -9 of the arbiter frees the port."""
    die_with_parent(parent=worker.ppid)
