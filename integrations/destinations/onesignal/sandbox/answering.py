"""From an ASGI request to the sent answer: find the call, apply keys, faults and limits, keep what changed, send.

`server.py` owns the connections and gives this application a way to close one without an answer. A request to an app's
API passes, in this order: connection dropped before storing, status of the fault `rate`, key, rate limits, the call,
latency, connection dropped after storing. Control endpoints and pages pass none of these.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from integrations.destinations.onesignal.sandbox.apps import App
from integrations.destinations.onesignal.sandbox.endpoints import ENDPOINTS
from integrations.destinations.onesignal.sandbox.exports import Exports
from integrations.destinations.onesignal.sandbox.journal import JournalError
from integrations.destinations.onesignal.sandbox.keys import check_key, check_neighbour, denied, given_key
from integrations.destinations.onesignal.sandbox.late import LateWrites
from integrations.destinations.onesignal.sandbox.refusals import check_content_type, fault_answer, no_app_answer
from integrations.destinations.onesignal.sandbox.routes import USER_FAMILIES, Call, Endpoint, Family, Routes, too_fast
from integrations.destinations.onesignal.sandbox.state import State
from integrations.destinations.onesignal.sandbox.wire import (
    Answer,
    Malformed,
    Refusal,
    Request,
    basic_error,
    structured_error,
)

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_CONTROL_BODY_BYTES = 512 * 1024 * 1024  # users in bulk, a million at once
CONTROL_PREFIX = b"/_control/"
API_FAMILIES = USER_FAMILIES | {Family.SEGMENTS, Family.APP, Family.EXPORTS}

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class TooLarge(Exception):
    """A request body beyond the limit."""


@dataclass(slots=True)
class Reply:
    """What becomes of a request: an answer after a delay, or (None) a connection that closes."""

    answer: Answer | None
    delay_seconds: float = 0.0


class Sandbox:
    """The ASGI application."""

    def __init__(self, *, state: State, exports: Exports, stop: Callable[[int], None]) -> None:
        self._state = state
        self._exports = exports
        self._late = LateWrites(state)
        self._routes = Routes(ENDPOINTS)
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; uvicorn calls this."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            reply = await self._handle(scope, receive)
            if reply.delay_seconds:
                await asyncio.sleep(reply.delay_seconds)
        except asyncio.CancelledError:
            # The process ends: what was stored stays stored, and the answer is lost.
            reply = Reply(None)
        if reply.answer is None:
            await _close(scope, receive)
            return
        answer = reply.answer
        length = (b"content-length", str(len(answer.body)).encode())
        await send({"type": "http.response.start", "status": answer.status, "headers": [*answer.headers, length]})
        await send({"type": "http.response.body", "body": answer.body})

    async def _handle(self, scope: Scope, receive: Receive) -> Reply:
        """Read a request, do what it asks, keep what it changed."""
        raw_path: bytes = scope["raw_path"]
        limit = MAX_CONTROL_BODY_BYTES if raw_path.startswith(CONTROL_PREFIX) else MAX_BODY_BYTES
        try:
            body = await _read_body(receive, limit)
        except TooLarge:
            return Reply(basic_error(413, f"The request body is larger than {limit} bytes."))
        if body is None:
            return Reply(None)
        origin = written_origin(*scope["server"])
        request = Request(scope["method"], scope["query_string"], scope["headers"], body, origin)
        reply = self._reply(request, raw_path)
        try:
            self._state.flush()
        except JournalError as error:
            sys.stderr.write(f"{error}\n")
            self._stop(1)
            return Reply(None)
        return reply

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._exports.remove_old(now=time.time())
        self._late.resume()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def _reply(self, request: Request, raw_path: bytes) -> Reply:
        try:
            found = self._routes.find(request.method, raw_path)
        except Malformed as error:
            return Reply(basic_error(400, error.sentence))
        if found is None:
            return Reply(basic_error(404, "The sandbox has no such endpoint."))
        if isinstance(found, list):
            allow = (b"allow", ", ".join(found).encode())
            refused = basic_error(405, f"This path has only {', '.join(found)}.")
            return Reply(Answer(405, refused.body, (*refused.headers, allow)))
        endpoint, parameters = found
        call = Call(
            request=request,
            parameters=parameters,
            state=self._state,
            exports=self._exports,
            late=self._late,
            now=time.time(),
            moment=time.monotonic(),
        )
        if endpoint.family in API_FAMILIES:
            return self._api_reply(call, endpoint)
        return Reply(_answered(call, endpoint, _own_answer))

    def _api_reply(self, call: Call, endpoint: Endpoint) -> Reply:
        app = _find_app(call, endpoint.family)
        if app is None:
            return Reply(_answered(call, endpoint, no_app_answer))
        call.found_app = app
        traffic, dice, faults = app.traffic, app.dice, app.faults
        is_user_request = endpoint.family in USER_FAMILIES
        traffic.arrive(endpoint.route, is_user_request=is_user_request, is_write=endpoint.is_write, now=call.moment)
        delay_seconds = faults.latency_ms / 1000
        if dice.drops_before():
            traffic.dropped += 1
            return Reply(None, delay_seconds)
        if dice.fails():
            answer = fault_answer(endpoint.family, faults.rate_status)
            traffic.answered(answer.status, is_write=False)
        else:
            answer = _answered(call, endpoint, _api_answer)
            traffic.answered(answer.status, is_write=endpoint.is_write)
        if dice.drops_after():
            traffic.dropped += 1
            return Reply(None, delay_seconds)
        return Reply(answer, delay_seconds)


def written_origin(host: str, port: int) -> str:
    """Return the address of a server as the beginning of a URL."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _answered(call: Call, endpoint: Endpoint, answer: Callable[[Call, Endpoint], Answer]) -> Answer:
    """Return the answer, or the refusal in the words of the endpoint's family (contract/onesignal.md, 1.2)."""
    try:
        return answer(call, endpoint)
    except Refusal as refusal:
        return refusal.answer
    except Malformed as error:
        if endpoint.family is Family.USERS:
            return structured_error(400, error.code, error.sentence, error.meta)
        if endpoint.family is Family.SEGMENTS:
            return basic_error(400, error.sentence, success=False)
        return basic_error(400, error.sentence)


def _api_answer(call: Call, endpoint: Endpoint) -> Answer:
    """Answer a call to an app's API."""
    app = call.app
    if endpoint.family not in USER_FAMILIES:
        check_key(call.request, app)
    check_content_type(call.request, endpoint.family)
    if endpoint.is_write:
        if app.traffic.accepted_writes.count(call.moment) >= app.faults.limit_per_second:
            return too_fast()
        app.traffic.accepted_writes.add(call.moment)
    elif endpoint.is_view and app.faults.views_per_second is not None:
        if app.traffic.accepted_views.count(call.moment) >= app.faults.views_per_second:
            return too_fast()
        app.traffic.accepted_views.add(call.moment)
    return endpoint.call(call)


def _own_answer(call: Call, endpoint: Endpoint) -> Answer:
    """Answer what is not an app's API: control, pages, files, and the list of apps."""
    if endpoint.family is Family.APPS:
        if call.state.app_with_key(given_key(call.request)) is None:
            raise denied()
        return endpoint.call(call)
    check_neighbour(call.request)
    if endpoint.family is Family.CONTROL and "app_id" in call.parameters:
        call.found_app = call.state.apps.get(call.parameters["app_id"].lower())
        if call.found_app is None:
            return basic_error(404, "No app of the sandbox has this id.")
    return endpoint.call(call)


def _find_app(call: Call, family: Family) -> App | None:
    given = call.parameters.get("app_id")
    if family is Family.EXPORTS:
        given = call.request.query_values().get("app_id") or _app_id_in_body(call.request)
        call.parameters["app_id"] = given
    assert given is not None
    return call.state.apps.get(given) or call.state.apps.get(given.lower())


def _app_id_in_body(request: Request) -> str:
    """Return the app_id of a body, as older callers send it; empty when there is none."""
    try:
        given = request.json_object().get("app_id")
    except Malformed:
        return ""
    return given if isinstance(given, str) else ""


async def _read_body(receive: Receive, limit: int) -> bytes | None:
    """Return the body, None when the client left before its end.

    Raises TooLarge for one beyond `limit`, after reading it to its end: a client that is still sending would not see
    the answer.
    """
    message = await receive()
    if not message.get("more_body") and len(message.get("body", b"")) <= limit:
        return None if message["type"] == "http.disconnect" else message["body"]
    pieces: list[bytes] = []
    size = 0
    while message["type"] != "http.disconnect":
        size += len(message["body"])
        if size <= limit:
            pieces.append(message["body"])
        else:
            pieces.clear()
        if not message["more_body"]:
            if size > limit:
                raise TooLarge
            return b"".join(pieces)
        message = await receive()
    return None


async def _close(scope: Scope, receive: Receive) -> None:
    """Close the connection without a byte of answer, and wait until that has happened."""
    scope["state"]["close"]()
    while (await receive())["type"] != "http.disconnect":
        pass
