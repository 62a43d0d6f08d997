"""What stands on a page, as a reader sees it."""

from __future__ import annotations

import html
import re
from typing import Any

_TAG = re.compile(r"<[^>]+>")


def text_of(answer: Any) -> str:
    """Return the words of an answer's HTML, without tags and with single spaces."""
    return " ".join(html.unescape(_TAG.sub(" ", answer.content.decode())).split()).replace(" .", ".").replace(" )", ")")
