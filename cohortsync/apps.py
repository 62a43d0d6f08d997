"""The assembly as a Django app: it carries the `up` and `doctor` commands and the system checks."""

from django.apps import AppConfig


class CohortSyncConfig(AppConfig):
    name = "cohortsync"
    verbose_name = "CohortSync"

    def ready(self) -> None:
        from cohortsync import checks  # noqa: F401  (registers the system checks)
