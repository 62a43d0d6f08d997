"""What the real clients sent, as `recorder.py` wrote it down, to the letter, and the answer each was content with."""

from __future__ import annotations

import base64
import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recordings"


@dataclass(frozen=True)
class Exchange:
    """One request and its answer; `path` includes the query as it was sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer: bytes

    def as_json(self) -> dict[str, Any]:
        """Return it for a file: a body that is text as text, another in base64."""
        try:
            body = {"body": self.body.decode()}
        except UnicodeDecodeError:
            body = {"body_base64": base64.b64encode(self.body).decode()}
        request = {"method": self.method, "path": self.path, "headers": self.headers, **body}
        return {**request, "status": self.status, "answer": self.answer.decode()}

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> Exchange:
        """Return what `as_json` wrote."""
        encoded = written.get("body_base64")
        return cls(
            method=written["method"],
            path=written["path"],
            headers=written["headers"],
            body=base64.b64decode(encoded) if encoded else written["body"].encode(),
            status=written["status"],
            answer=written["answer"].encode(),
        )


@dataclass(frozen=True)
class Recording:
    """What one client sent, part by part of its walk."""

    client: str
    version: str
    recorded_at: dt.datetime
    target: dict[str, str]
    parts: dict[str, list[Exchange]]


def read_recording(name: str) -> Recording:
    """Return the recording of a client by the name of its walk."""
    written = json.loads((FOLDER / f"{name}.json").read_text())
    return Recording(
        client=written["client"],
        version=written["version"],
        recorded_at=dt.datetime.fromtimestamp(written["recorded_at"], dt.UTC),
        target=written["target"],
        parts={part: [Exchange.from_json(each) for each in exchanges] for part, exchanges in written["parts"].items()},
    )
