"""The URLs: the wire at the root, the REST API, the pages, the operators' admin. Health answers before them all."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

# One way to log in, with its limits and second factor, for operators too.
admin.autodiscover()
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("", include("integrations.mixpanel.urls")),
    path("api/v1/", include("cohortsync.api.urls")),
    path("accounts/", include("cohortsync.pages.account")),
    path("admin/", admin.site.urls),
    path("", include("cohortsync.pages.urls")),
]
