"""OneSignal's own Python SDK talks to the sandbox as to OneSignal."""

from __future__ import annotations

import gzip
from typing import Any

import onesignal
import pytest
import requests
from onesignal.api.default_api import DefaultApi
from onesignal.errors import OneSignalErrors
from onesignal.models import (
    ExportSubscriptionsRequestBody,
    Filter,
    PropertiesObject,
    Segment,
    UpdateSegmentRequest,
    UpdateUserRequest,
    User,
)

from tests.sandbox.cast import App, some_uuid, wait_until


def api_of(app: App, api_key: str | None = None) -> Any:
    configuration = onesignal.Configuration(host=app.url, rest_api_key=api_key or app.api_key)
    return DefaultApi(onesignal.ApiClient(configuration))


@pytest.fixture
def api(app: App) -> Any:
    return api_of(app)


def test_a_segment_is_created_listed_viewed_renamed_and_deleted(app: App, api: Any) -> None:
    segment_id = some_uuid()
    only = Filter(field="tag", key="cs_1", relation="=", value="1")
    created = api.create_segment(app.app_id, segment=Segment(id=segment_id, name="Buyers", filters=[only]))
    assert (created.success, created.id) == (True, segment_id)
    listed = api.get_segments(app.app_id, offset=0, limit=300)
    assert [(each.id, each.name, each.is_active) for each in listed.segments] == [(segment_id, "Buyers", True)]
    # Not with the detail: the SDK's own model of a filter refuses every filter that comes back.
    assert api.get_segment(app.app_id, segment_id).subscriber_count == 0
    api.update_segment(app.app_id, segment_id, update_segment_request=UpdateSegmentRequest(name="Clients"))
    assert api.get_segments(app.app_id).segments[0].name == "Clients"
    assert api.delete_segment(app.app_id, segment_id).success is True


def test_tags_of_a_user_are_updated_and_seen(app: App, api: Any) -> None:
    app.add_users("a/b")
    request = UpdateUserRequest(properties=PropertiesObject(tags={"cs_1": "1"}))
    answered = api.update_user(app.app_id, "external_id", "a/b", request)
    assert answered.properties.tags == {"cs_1": "1"}
    seen = api.get_user(app.app_id, "external_id", "a/b")
    assert (seen.identity["external_id"], seen.properties.tags) == ("a/b", {"cs_1": "1"})
    (subscription,) = seen.subscriptions
    identity = api.get_aliases_by_subscription(app.app_id, subscription.id).identity
    assert identity["external_id"] == "a/b"


def test_a_user_is_created_and_deleted(app: App, api: Any) -> None:
    created = api.create_user(app.app_id, User(identity={"external_id": "ann"}))
    assert created.identity["external_id"] == "ann"
    api.delete_user(app.app_id, "external_id", "ann")
    with pytest.raises(onesignal.ApiException) as raised:
        api.get_user(app.app_id, "external_id", "ann")
    assert raised.value.status == 404


def test_a_bad_key_raises_what_the_sdk_knows(app: App) -> None:
    with pytest.raises(onesignal.ApiException) as raised:
        api_of(app, "wrong").get_segments(app.app_id)
    assert raised.value.status == 403
    assert OneSignalErrors.INVALID_API_KEY in raised.value.error_messages


def test_an_export_is_asked_for(app: App, api: Any) -> None:
    app.add_users("ann")
    body = ExportSubscriptionsRequestBody(extra_fields=["external_user_id"])
    url = api.export_subscriptions(app.app_id, export_subscriptions_request_body=body).csv_file_url
    wait_until(lambda: requests.get(url, timeout=5).status_code == 200)
    assert b"ann" in gzip.decompress(requests.get(url, timeout=5).content)
