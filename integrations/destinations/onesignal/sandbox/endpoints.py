"""The table of everything the sandbox answers."""

from __future__ import annotations

from integrations.destinations.onesignal.sandbox import pages
from integrations.destinations.onesignal.sandbox.calls import (
    apps,
    control,
    exports,
    identity,
    segments,
    subscriptions,
    users,
)
from integrations.destinations.onesignal.sandbox.routes import Endpoint, Family

_SEGMENTS = "/apps/{app_id}/segments"
_USER = "/apps/{app_id}/users/by/{alias_label}/{alias_id}"
_SUBSCRIPTION = "/apps/{app_id}/subscriptions/{subscription_id}"
_CONTROL = "/_control/apps/{app_id}"

ENDPOINTS = (
    # OneSignal's API (contract/onesignal.md, sections 1 to 4).
    Endpoint("GET", "/apps", apps.list_apps, Family.APPS),
    Endpoint("GET", "/apps/{app_id}", apps.view_app, Family.APP),
    Endpoint("GET", _SEGMENTS, segments.list_segments, Family.SEGMENTS),
    Endpoint("POST", _SEGMENTS, segments.create_segment, Family.SEGMENTS),
    Endpoint("GET", f"{_SEGMENTS}/{{segment_id}}", segments.view_segment, Family.SEGMENTS),
    Endpoint("PATCH", f"{_SEGMENTS}/{{segment_id}}", segments.update_segment, Family.SEGMENTS),
    Endpoint("DELETE", f"{_SEGMENTS}/{{segment_id}}", segments.delete_segment, Family.SEGMENTS),
    Endpoint("POST", "/apps/{app_id}/users", users.create_user, Family.USERS, is_write=True),
    Endpoint("GET", _USER, users.view_user, Family.USERS, is_view=True),
    Endpoint("PATCH", _USER, users.update_user, Family.USERS, is_write=True),
    Endpoint("DELETE", _USER, users.delete_user, Family.USERS, is_write=True),
    Endpoint("GET", f"{_USER}/identity", identity.view_identity, Family.USERS, is_view=True),
    Endpoint("PATCH", f"{_USER}/identity", identity.update_identity, Family.USERS, is_write=True),
    Endpoint(
        "DELETE", f"{_USER}/identity/{{alias_label_to_delete}}", identity.delete_alias, Family.USERS, is_write=True
    ),
    Endpoint("POST", f"{_USER}/subscriptions", subscriptions.create_subscription, Family.SUBSCRIPTIONS, is_write=True),
    Endpoint("PATCH", _SUBSCRIPTION, subscriptions.update_subscription, Family.USERS, is_write=True),
    Endpoint("DELETE", _SUBSCRIPTION, subscriptions.delete_subscription, Family.SUBSCRIPTIONS, is_write=True),
    Endpoint(
        "PATCH", f"{_SUBSCRIPTION}/owner", subscriptions.transfer_subscription, Family.SUBSCRIPTIONS, is_write=True
    ),
    Endpoint(
        "GET", f"{_SUBSCRIPTION}/user/identity", identity.view_identity_of_subscription, Family.USERS, is_view=True
    ),
    Endpoint(
        "PATCH",
        f"{_SUBSCRIPTION}/user/identity",
        identity.update_identity_of_subscription,
        Family.USERS,
        is_write=True,
    ),
    Endpoint("POST", "/players/csv_export", exports.start_export, Family.EXPORTS),
    # What follows is ours.
    Endpoint("GET", "/csv_exports/{app_id}/{file_name}", exports.fetch_export, Family.PAGES),
    Endpoint("GET", "/_control/apps", control.list_apps, Family.CONTROL),
    Endpoint("POST", "/_control/apps", control.put_app, Family.CONTROL),
    Endpoint("GET", _CONTROL, control.view_app, Family.CONTROL),
    Endpoint("PATCH", _CONTROL, control.change_app, Family.CONTROL),
    Endpoint("DELETE", _CONTROL, control.delete_app, Family.CONTROL),
    Endpoint("POST", f"{_CONTROL}/users", control.add_users, Family.CONTROL),
    Endpoint("GET", f"{_CONTROL}/users/{{external_id}}", control.view_user, Family.CONTROL),
    Endpoint("PATCH", f"{_CONTROL}/users/{{external_id}}/tags", control.change_tags, Family.CONTROL),
    Endpoint("PATCH", f"{_CONTROL}/segments/{{segment_id}}", control.change_segment, Family.CONTROL),
    Endpoint("GET", f"{_CONTROL}/segments/{{segment_id}}/users", control.list_segment_users, Family.CONTROL),
    Endpoint("GET", f"{_CONTROL}/faults", control.view_faults, Family.CONTROL),
    Endpoint("PUT", f"{_CONTROL}/faults", control.put_faults, Family.CONTROL),
    Endpoint("GET", f"{_CONTROL}/stats", control.view_stats, Family.CONTROL),
    Endpoint("DELETE", f"{_CONTROL}/stats", control.reset_stats, Family.CONTROL),
    Endpoint("GET", "/", pages.show_apps, Family.PAGES),
    Endpoint("GET", "/view/{app_id}", pages.show_users, Family.PAGES),
    Endpoint("GET", "/view/{app_id}/{segment_id}", pages.show_segment, Family.PAGES),
    Endpoint("GET", "/style.css", pages.show_style, Family.PAGES),
    Endpoint("GET", "/healthz", pages.show_health, Family.PAGES),
)
