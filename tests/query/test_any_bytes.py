"""Whatever bytes come, the Query API answers or says what is wrong with them: never a 5xx, never a page of HTML."""

from __future__ import annotations

from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohorts.models import Project
from tests.cast import make_people, property_definition
from tests.query.asking import FORM, Asker

NAMES = st.sampled_from(
    [
        *("distinct_id", "distinct_ids", "where", "selector", "output_properties", "session_id", "page", "project_id"),
        *("behaviors", "as_of_timestamp", "filter_by_cohort", "include_all_users", "data_group_id"),
    ]
)
VALUES = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [
            *(b"1", b"-1", b"1e400", b"NaN", b"99999999999999999999", b"true", b"[]", b"{}", b"null", b"\0"),
            *(b'["\\u0000", "a\\u0000b"]', b'["\\ud800"]', b"[1.5, true, null]", b"[[[]]]", b"[" * 5000),
            *(b'{"id": 1e300}', b'{"raw_cohort": null}', b'{"raw_cohort": ' + b"[" * 900 + b"]" * 900 + b"}"),
            b'{"raw_cohort": {"groups": [{"conditions": [{"kind": "property", "property": "a\\u0000", "type": "string",'
            b' "operator": "equals", "values": ["\\u0000"]}]}]}}',
            *(b'user["a\\u0000"] == "\\0"', b'user["\xff"] in "\xf0\x9f\x99\x82"', b'user["plan"] == "pro"'),
        ]
    ),
)


@given(fields=st.lists(st.tuples(NAMES, VALUES), max_size=4), in_body=st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_parameters_are_answered(
    shop: Project, reader: Asker, fields: list[tuple[str, bytes]], in_body: bool
) -> None:
    form = "&".join(f"{name}={quote_from_bytes(value)}" for name, value in fields)
    if in_body:
        response = reader.post("/api/query/engage", form, content_type=FORM)
    else:
        response = reader.get("/api/query/engage", QUERY_STRING=form)
    assert response.status_code in (200, 400, 403), (fields, response.content)
    assert response["Content-Type"] == "application/json"


@given(body=st.one_of(st.binary(max_size=200), VALUES))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_any_body_is_answered(shop: Project, reader: Asker, body: bytes, encoding: str) -> None:
    for path in ("/api/query/engage", "/api/query/cohorts/list"):
        response = reader.post(path, body, content_type="application/json", HTTP_CONTENT_ENCODING=encoding)
        assert response.status_code in (200, 400, 403), (body, response.content)
        assert response["Content-Type"] == "application/json"


def test_a_nul_in_an_id_costs_nothing(shop: Project, reader: Asker) -> None:
    make_people(shop, {"ann": {"plan": "pro"}})
    assert reader.found(distinct_ids=["ann", "a\0b"]) == ["ann"]
    assert reader.found(distinct_ids=["ann"], filter_by_cohort={"raw_cohort": property_definition()}) == ["ann"]
