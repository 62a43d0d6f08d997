"""The world as a Django app."""

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = "Integrations"

    def ready(self) -> None:
        """Tell the core which cohorts syncs rely on, so that their events are kept."""
        from cohorts.retention import rely_on
        from integrations.syncs import synced_cohorts

        rely_on(synced_cohorts)
