"""The URLs of the pages, by noun; each module lists its own."""

from django.urls import include, path

from cohortsync.pages import cohorts, data_health, events, exports, home, integrations, settings, syncs

urlpatterns = [
    path("", home.home, name="home"),
    path(
        "projects/<int:project_id>/",
        include(
            [
                path("", home.project, name="project"),
                path("cohorts/", include(cohorts.urlpatterns)),
                path("cohorts/<int:cohort_id>/export/", include(exports.urlpatterns)),
                path("", include(integrations.urlpatterns)),
                path("", include(syncs.urlpatterns)),
                path("", include(events.urlpatterns)),
                path("", include(data_health.urlpatterns)),
                path("", include(settings.urlpatterns)),
            ]
        ),
    ),
]
