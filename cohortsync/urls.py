"""The URLs: Mixpanel's wire at the root, the REST API, the operators' admin. Health answers before them all."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", include("integrations.mixpanel.urls")),
    path("api/v1/", include("cohortsync.api.urls")),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
]
