"""Logging in, by django-allauth: which of its pages exist here, and that nobody signs up by themselves."""

from __future__ import annotations

from allauth.account import urls as account_urls
from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest
from django.urls import include, path

# The sign-up page says that it is closed; allauth's login page refers to it by name.
_PAGES = {
    "account_login",
    "account_logout",
    "account_inactive",
    "account_signup",
    "account_reauthenticate",
    "account_change_password",
    "account_set_password",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
}

urlpatterns = [
    *(pattern for pattern in account_urls.urlpatterns if pattern.name in _PAGES),
    path("2fa/", include("allauth.mfa.urls")),
]


class Adapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts are made by operators."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002  (allauth's signature)
        """Refuse everybody."""
        return False
