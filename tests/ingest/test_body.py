"""Reading a body: every form that SDKs send, the vectors of the contract, and bytes that are none."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import time
from typing import Any
from urllib.parse import quote_plus, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohorts.refusals import Reason
from integrations.mixpanel.body import RawRecord, TooLarge, Undecodable, Unreadable, read_body, read_form, read_records

LIMIT = 10 * 1024 * 1024
NODE_GET = (
    b"ip=0&verbose=0&data=eyJldmVudCI6IkUiLCJwcm9wZXJ0aWVzIjp7ImRpc3RpbmN0X2lkIjoidTEiLCJzIjoiPj4%2BPz8%2Ffn5%2BIiwid"
    b"G9rZW4iOiJ0b2siLCJtcF9saWIiOiJub2RlIiwiJGxpYl92ZXJzaW9uIjoiMC4yNC4wIn19"
)
NODE_BATCH = (
    b"data=W3siZXZlbnQiOiJYIiwicHJvcGVydGllcyI6eyJkaXN0aW5jdF9pZCI6InUiLCJzIjoiPj4+Pz8/fn5+w78iLCJ0b2tlbiI6InRvayJ9fV0="
)
PYTHON_DELETE = (
    b"data=%7B%22%24token%22%3A%22tok%22%2C%22%24time%22%3A1795435093.5%2C%22%24distinct_id%22%3A%22u1%22%2C%22%24delete"
    b"%22%3A%22%22%7D&verbose=1&ip=0"
)
PYTHON_MERGE = (
    b"data=%7B%22event%22%3A%22%24merge%22%2C%22properties%22%3A%7B%22%24distinct_ids%22%3A%5B%22a%22%2C%22b%22%5D%2C%22"
    b"token%22%3A%22tok%22%7D%7D&verbose=1&ip=0"
)
PYTHON_TRACK = (
    b"data=%7B%22event%22%3A%22E%22%2C%22properties%22%3A%7B%22token%22%3A%22tok%22%2C%22distinct_id%22%3A%22u1%22%2C%22"
    b"time%22%3A1795435093.25%2C%22%24insert_id%22%3A%22c17444b7%22%2C%22a%22%3A%22%5Cu00e4+b%22%7D%7D&verbose=1&ip=0"
)


def records(body: bytes = b"", query: bytes = b"") -> list[RawRecord]:
    return read_records(read_form(query=query, body=body).data, max_records=2000, max_record_bytes=1024 * 1024)


def test_python_sends_url_encoded_json() -> None:
    form = read_form(query=b"", body=PYTHON_TRACK)
    assert form.parameters == {"verbose": "1", "ip": "0"}
    assert form.is_on("verbose")
    assert not form.is_on("ip")
    assert records(PYTHON_TRACK) == [
        {
            "event": "E",
            "properties": {
                "token": "tok",
                "distinct_id": "u1",
                "time": 1795435093.25,
                "$insert_id": "c17444b7",
                "a": "ä b",
            },
        }
    ]


@pytest.mark.parametrize(
    ("body", "query", "expected"),
    [
        (PYTHON_DELETE, b"", {"$token": "tok", "$time": 1795435093.5, "$distinct_id": "u1", "$delete": ""}),
        (PYTHON_MERGE, b"", {"event": "$merge", "properties": {"$distinct_ids": ["a", "b"], "token": "tok"}}),
        (
            b"",
            NODE_GET,
            {
                "event": "E",
                "properties": {
                    "distinct_id": "u1",
                    "s": ">>>???~~~",
                    "token": "tok",
                    "mp_lib": "node",
                    "$lib_version": "0.24.0",
                },
            },
        ),
        (
            NODE_BATCH,
            b"ip=0&verbose=0",
            {"event": "X", "properties": {"distinct_id": "u", "s": ">>>???~~~ÿ", "token": "tok"}},
        ),
    ],
)
def test_the_vectors_of_the_contract_decode(body: bytes, query: bytes, expected: dict[str, Any]) -> None:
    assert records(body, query) == [expected]


FORMS = [
    b'[{"a": 1}, {"a": "\\u00fc"}]',
    b' \n [{"a": 1}, {"a": "\xc3\xbc"}]\n',
    b'\xef\xbb\xbf[{"a":1},{"a":"\xc3\xbc"}]',
    b'{"a": 1}\n{"a": "\xc3\xbc"}\n',
    b'{"a": 1}\r\n\r\n{"a": "\xc3\xbc"}',
    b"data=" + quote_plus('[{"a": 1}, {"a": "ü"}]').encode(),
    b"data=" + base64.b64encode('[{"a": 1}, {"a": "ü"}]'.encode()),
    b"data=" + base64.urlsafe_b64encode('[{"a": 1}, {"a": "ü"}]'.encode()).rstrip(b"="),
    b"data=" + quote_plus(base64.b64encode('[{"a": 1}, {"a": "ü"}]'.encode())).encode() + b"&verbose=1",
    b"verbose=1&data=" + base64.b64encode('{"a": 1}\n{"a": "ü"}'.encode()),
]


@pytest.mark.parametrize("body", FORMS)
def test_every_form_gives_the_same_records(body: bytes) -> None:
    assert records(body) == [{"a": 1}, {"a": "ü"}]


def test_an_object_over_several_lines_is_one_record() -> None:
    assert records(json.dumps({"a": {"b": 1}}, indent=2).encode()) == [{"a": {"b": 1}}]


def test_the_parameters_of_the_body_win_over_those_of_the_query() -> None:
    assert read_form(query=b"verbose=0&strict=1", body=b"data=W10&verbose=2").parameters == {
        "verbose": "2",
        "strict": "1",
    }


@pytest.mark.parametrize(
    "body", [b"", b"   ", b"data=", b"hello", b"data=%%%", b"data=aGVsbG8=", b"[", b"[1,2", b"[1]]", b"[1] x"]
)
def test_bytes_that_are_no_records_are_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable):
        records(body)


@pytest.mark.parametrize(
    "broken",
    [
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_broken_record_leaves_its_neighbours_whole(broken: bytes) -> None:
    good = b'{"b": "}]\\"[{,", "c": [1, {"d": []}]}'
    expected = {"b": '}]"[{,', "c": [1, {"d": []}]}
    for body in (b"[" + good + b", " + broken + b"," + good + b"]", good + b"\n" + broken + b"\n" + good):
        first, middle, last = records(body)
        assert (first, last) == (expected, expected)
        assert isinstance(middle, Unreadable)


def test_a_broken_record_still_says_whose_it_is() -> None:
    (record,) = records(b'[{"event": "E", "properties": {"token": "abc123", "x": NaN}}]')
    assert isinstance(record, Unreadable)
    assert record.token == "abc123"


def test_a_record_over_the_limit_leaves_its_neighbours_whole() -> None:
    body = json.dumps([{"a": 1}, {"a": "x" * 2_000_000}, {"a": 2}]).encode()
    first, middle, last = records(body)
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert isinstance(middle, Unreadable)


def test_more_records_than_the_limit_are_too_large() -> None:
    with pytest.raises(TooLarge, match="2000 records"):
        records(json.dumps([{}] * 2001).encode())


def inflated(body: bytes, limit: int = LIMIT) -> bytes:
    return read_body(io.BytesIO(body), content_encoding="gzip", max_bytes=limit)


def test_gzip_is_inflated() -> None:
    assert inflated(gzip.compress(b"[1,2]")) == b"[1,2]"


def test_a_body_said_to_be_gzip_that_is_none_is_read_as_it_is() -> None:
    assert inflated(b'[{"a":1}]') == b'[{"a":1}]'


def test_a_zip_bomb_is_cut_off_at_the_limit() -> None:
    with pytest.raises(TooLarge, match="1000 bytes"):
        inflated(gzip.compress(b"[" * 50_000_000), 1000)


@pytest.mark.parametrize(
    "body",
    [
        b'["' + b'\\"' * 1_000_000,
        b"[" + b"[]" * 1_000_000,
        b"[" + b'"",' * 1_000_000,
        b"&" * 2_000_000,
        b"data=" + b"%5B" * 500_000,
        b"{\n" * 500_000,
        gzip.compress(b"") * 50_000,
    ],
    ids=["quotes", "brackets", "commas", "fields", "escapes", "lines", "gzip members"],
)
def test_no_body_takes_long_to_read(body: bytes) -> None:
    started = time.monotonic()
    with contextlib.suppress(Undecodable, TooLarge):
        records(inflated(body))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b"[1,2]")[:-4], b"\x1f\x8bgarbage", gzip.compress(b"[1]") + b"x"],
    ids=["cut off", "rubbish", "more"],
)
def test_broken_gzip_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable):
        inflated(body)


@given(st.binary(max_size=40) | st.text("%=+ \r\n\t09afAFx", max_size=20).map(str.encode))
def test_values_are_unquoted_as_pythons_library_does(text: bytes) -> None:
    value = text.replace(b"&", b"")
    assert read_form(query=b"name=" + value, body=b"").parameters["name"] == unquote_to_bytes(
        value.replace(b"+", b" ")
    ).decode("utf-8", "replace")


# As mixpanel-browser 2.83.0 sends them: the two halves of an emoji, each encoded as if it were a character.
EMOJI_IN_HALVES = b"\xed\xa0\xbd\xed\xb9\x82"


@pytest.mark.parametrize("wrap", [b"data=%s", b"verbose=1&data=%s"])
def test_a_browsers_emoji_are_read_beside_broken_neighbours(wrap: bytes) -> None:
    emoji = b'{"a": "\xc3\xa4 %s %s \xed\x95\x9c"}' % (EMOJI_IN_HALVES, EMOJI_IN_HALVES)
    half, broken = b'{"a": "%s"}' % EMOJI_IN_HALVES[:3], b'{"a": "\xff%s"}' % EMOJI_IN_HALVES
    sent = base64.b64encode(b"[" + b",".join([emoji, half, broken, b'{"a": 1}']) + b"]")
    first, *unreadable, last = records(wrap % sent)
    assert (first, last) == ({"a": "ä 🙂 🙂 한"}, {"a": 1})
    assert [isinstance(each, Unreadable) and each.reason for each in unreadable] == [Reason.NOT_UTF8, Reason.NOT_UTF8]
    assert records(b"data=" + base64.b64encode(emoji)) == [first]
