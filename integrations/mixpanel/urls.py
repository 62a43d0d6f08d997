"""Mixpanel's routes at the root, each in both slash forms: SDKs post to either, and a redirect would lose the body."""

from django.urls import re_path

from integrations.mixpanel import deletions, views
from integrations.mixpanel.query import views as query

urlpatterns = [
    re_path(r"^track/?$", views.track, name="track"),
    re_path(r"^import/?$", views.import_, name="import"),
    re_path(r"^engage/?$", views.engage, name="engage"),
    re_path(r"^groups/?$", views.groups, name="groups"),
    re_path(r"^api/app/data-deletions/v3\.0/?$", deletions.create, name="data-deletions"),
    re_path(r"^api/app/data-deletions/v3\.0/(?P<tracking_id>[^/]+)/?$", deletions.task, name="data-deletion"),
    re_path(r"^api/(?:query|2\.0)/cohorts/list/?$", query.cohort_list, name="query_cohort_list"),
    re_path(r"^api/(?:query|2\.0)/engage/?$", query.engage, name="query_engage"),
]
