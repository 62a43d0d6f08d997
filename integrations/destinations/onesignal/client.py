"""OneSignal's REST API: segments, and tags of existing users (source: contract/onesignal.md).

Users are never created: a PATCH of an unknown one answers 404. A 2xx from a users endpoint proves nothing about the
key, so the key is proved on the segments endpoint only.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import orjson
import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.retry import Retry

from integrations.destinations.base import Account, Answer, DestinationClient, Outcome, RemoteSegment
from integrations.errors import (
    CredentialRefused,
    Permanent,
    SegmentGone,
    SegmentIdTaken,
    SentenceError,
    Temporary,
    Unreachable,
)

SEGMENTS_PER_PAGE = 300
SEGMENT_NAME_CHARACTERS = 128
SEGMENT_NAME_ATTEMPTS = 20
MAX_ANSWER_BYTES = 4 * 1024 * 1024
# The words people know from Mixpanel's own OneSignal integration; OneSignal's words follow them.
PLAN_REFUSAL = "App may not submit cohort updates from Mixpanel"


@dataclass(frozen=True)
class _Reply:
    status: int
    words: str
    body: object
    retry_after_seconds: float | None


class OneSignalClient(DestinationClient):
    """One app at OneSignal, or at the sandbox."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._app_url = f"{account.base_url}/apps/{quote(account.remote_id, safe='')}"
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()

    # --- The key and the segments --------------------------------------------------------------------------------

    def check(self) -> None:
        self._segment_page(offset=0, limit=1)

    def segments(self) -> list[RemoteSegment]:
        found: list[RemoteSegment] = []
        offset = 0
        while True:
            page, row_count = self._segment_page(offset=offset, limit=SEGMENTS_PER_PAGE)
            found += page
            offset += row_count
            if row_count < SEGMENTS_PER_PAGE:
                return found

    def create_segment(self, *, segment_id: uuid.UUID, name: str, tag: str) -> str:
        filters = [{"field": "tag", "key": tag, "relation": "=", "value": "1"}]
        for attempt in range(1, SEGMENT_NAME_ATTEMPTS + 1):
            candidate = segment_name(name, attempt)
            reply = self._call("POST", "/segments", {"id": str(segment_id), "name": candidate, "filters": filters})
            if reply.status in (200, 201):
                return candidate
            if reply.status == 409:
                raise SegmentIdTaken(f"OneSignal refused to create the segment “{candidate}”: “{reply.words}”.")
            if reply.status == 400 and "taken" in reply.words.lower():
                continue
            raise self._segment_refusal(reply, f"create the segment “{candidate}”")
        raise Permanent(
            f"OneSignal has {SEGMENT_NAME_ATTEMPTS} segments named like “{name}” already. "
            "Rename the cohort, or the segments at OneSignal, and resume this sync."
        )

    def rename_segment(self, *, segment_id: uuid.UUID, name: str) -> str | None:
        reply = self._call("PATCH", f"/segments/{segment_id}", {"name": segment_name(name, 1)})
        if reply.status == 200:
            return None
        if reply.status == 404:
            raise SegmentGone(f"OneSignal does not know the segment to be renamed to “{name}”: “{reply.words}”.")
        if reply.status == 400:
            return (
                f"The segment at OneSignal keeps its old name: OneSignal answered “{reply.words}”. "
                "A segment that a Journey uses cannot be renamed; its members are not affected."
            )
        raise self._segment_refusal(reply, f"rename the segment to “{name}”")

    def delete_segment(self, *, segment_id: uuid.UUID) -> None:
        reply = self._call("DELETE", f"/segments/{segment_id}", None)
        if reply.status not in (200, 202, 404):
            raise self._segment_refusal(reply, "delete the segment")

    def _segment_page(self, *, offset: int, limit: int) -> tuple[list[RemoteSegment], int]:
        reply = self._call("GET", f"/segments?offset={offset}&limit={limit}", None)
        if reply.status not in (200, 201):
            raise self._refusal(reply, "read the app's segments")
        rows = reply.body.get("segments") if isinstance(reply.body, dict) else None
        if not isinstance(rows, list):
            raise Unreachable(
                f"{self._account.base_url} answered without a list of segments, so it is not OneSignal's API. "
                "Check ONESIGNAL_API_URL."
            )
        page = [
            RemoteSegment(uuid.UUID(str(row["id"])), str(row.get("name", "")), row.get("is_active") is not False)
            for row in rows
            if isinstance(row, dict) and _is_uuid(row.get("id"))
        ]
        return page, len(rows)

    def _segment_refusal(self, reply: _Reply, wish: str) -> SentenceError:
        if reply.status == 403:
            # The key was proved on the same endpoint before, so a 403 on a write is the plan.
            return Permanent(
                f"{PLAN_REFUSAL}: OneSignal refused to {wish} and said “{reply.words}”. "
                "Segments by API need a paid OneSignal plan: upgrade the app's plan, then resume this sync."
            )
        if reply.status == 422:
            return Permanent(
                f"OneSignal refused to {wish}: “{reply.words}”. "
                "Delete a segment at OneSignal or upgrade the app's plan, then resume this sync."
            )
        if reply.status in (400, 404):
            return Permanent(f"OneSignal refused to {wish}: “{reply.words}”.")
        return self._refusal(reply, wish)

    def _refusal(self, reply: _Reply, wish: str) -> SentenceError:
        if reply.status in (401, 403):
            return CredentialRefused(
                f"OneSignal refused the API Key for app {self._account.remote_id}: “{reply.words}”. "
                "Copy App ID and API Key of the same app from OneSignal (Settings > Keys & IDs); "
                "if the key has an IP allowlist, add this server's address to it."
            )
        if reply.status in (400, 404):
            return CredentialRefused(
                f"OneSignal could not {wish} for app {self._account.remote_id} "
                f"(HTTP {reply.status}: “{reply.words}”). Check the App ID at OneSignal (Settings > Keys & IDs)."
            )
        if reply.status == 429 or reply.status >= 500:
            return Temporary(
                f"OneSignal could not {wish} now (HTTP {reply.status}: “{reply.words}”); it is tried again by itself.",
                reply.retry_after_seconds or 0.0,
            )
        return Permanent(f"OneSignal refused to {wish} (HTTP {reply.status}: “{reply.words}”).")

    # --- Users ---------------------------------------------------------------------------------------------------

    def write_tags(self, *, recipient: str, tags: Mapping[str, bool]) -> Answer:
        body = {"properties": {"tags": {tag: "1" if is_set else "" for tag, is_set in tags.items()}}}
        try:
            reply = self._request("PATCH", f"/users/by/external_id/{quote(recipient, safe='')}", body)
        except requests.RequestException as error:
            outcome = Outcome.UNSENT if _never_left(error) else Outcome.UNANSWERED
            return Answer(outcome, sentence=_unreachable_sentence(self._account.base_url, error))
        return _answer(reply)

    # --- HTTP ----------------------------------------------------------------------------------------------------

    def _call(self, method: str, path: str, body: object) -> _Reply:
        try:
            return self._request(method, path, body)
        except requests.RequestException as error:
            raise Unreachable(_unreachable_sentence(self._account.base_url, error)) from error

    def _request(self, method: str, path: str, body: object) -> _Reply:
        response = self._session().request(
            method,
            self._app_url + path,
            data=None if body is None else orjson.dumps(body),
            timeout=(settings.HTTP_CONNECT_TIMEOUT_SECONDS, settings.HTTP_READ_TIMEOUT_SECONDS),
            allow_redirects=False,
        )
        content = response.content[:MAX_ANSWER_BYTES]
        try:
            parsed: object = orjson.loads(content) if content else None
        except orjson.JSONDecodeError:
            parsed = None
        retry_after = _seconds(response.headers.get("Retry-After"))
        return _Reply(response.status_code, _words(parsed, response.reason), parsed, retry_after)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False  # no proxy or netrc of the host decides where a key goes
            session.headers.update(
                {
                    "Authorization": f"Key {self._account.credential}",
                    "Content-Type": "application/json; charset=utf-8",
                    "Accept": "application/json",
                    "OneSignal-Usage": "CohortSync | Partner Integration",
                    "User-Agent": "CohortSync",
                }
            )
            # Only a connection that was never made is tried again here; everything else is decided by the pass.
            retry = Retry(total=None, connect=1, read=0, redirect=0, status=0, other=0, backoff_factor=0.2)
            adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=retry)
            session.mount("https://", adapter)
            session.mount("http://", adapter)
            self._local.session = session
            with self._lock:
                self._sessions.append(session)
        return session

    def close(self) -> None:
        with self._lock:
            for session in self._sessions:
                session.close()
            self._sessions.clear()


def segment_name(name: str, attempt: int) -> str:
    """Return `name` cut to OneSignal's 128 characters, with the attempt's number once a name was taken."""
    suffix = "" if attempt == 1 else f" ({attempt})"
    return name[: SEGMENT_NAME_CHARACTERS - len(suffix)] + suffix


def _answer(reply: _Reply) -> Answer:
    status = reply.status
    if 200 <= status < 300:
        return Answer(Outcome.ACCEPTED, status)
    if status in (404, 410):
        return Answer(Outcome.ABSENT, status, "OneSignal does not know this id.")
    if status == 429:
        return Answer(Outcome.THROTTLED, status, reply.words, reply.retry_after_seconds)
    sentence = f"OneSignal answered {status}: {reply.words}"
    if status in (401, 403):
        return Answer(Outcome.DENIED, status, sentence)
    # 408 and 425 speak of the request's timing, not of its content.
    if 400 <= status < 500 and status not in (408, 425):
        return Answer(Outcome.REFUSED, status, sentence)
    return Answer(Outcome.UNANSWERED, status, sentence, reply.retry_after_seconds)


def _words(parsed: object, reason: str | None) -> str:
    """Return the destination's own words from any of its error envelopes (contract/onesignal.md, 1.2)."""
    errors = parsed.get("errors") if isinstance(parsed, dict) else None
    entries = errors if isinstance(errors, list) else [errors] if errors else []
    words = [
        str(entry.get("title") or entry.get("code") or entry) if isinstance(entry, dict) else str(entry)
        for entry in entries
    ]
    return "; ".join(words)[:500] or reason or "no explanation"


def _seconds(header: str | None) -> float | None:
    try:
        return min(max(float(header or ""), 0.0), 3600.0)
    except ValueError:
        return None


def _is_uuid(value: object) -> bool:
    try:
        uuid.UUID(str(value))
    except ValueError:
        return False
    return True


def _never_left(error: requests.RequestException) -> bool:
    """Tell whether no connection was made at all, so that nothing can have been stored."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _unreachable_sentence(base_url: str, error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.Timeout):
        cause = "it did not answer in time"
    elif isinstance(error, requests.exceptions.SSLError):
        cause = "its TLS certificate could not be verified"
    else:
        cause = "the connection failed"
    return (
        f"OneSignal could not be reached at {base_url}: {cause}. "
        "Check this server's network access and OneSignal's status page, then try again."
    )
