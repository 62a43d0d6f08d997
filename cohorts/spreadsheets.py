"""Cells of CSV files that people open in a spreadsheet. Called where rows are made, here and in `integrations/`."""

from __future__ import annotations

_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")


def cell(text: str) -> str:
    """Return the text, prefixed with an apostrophe where a spreadsheet would take it for a formula."""
    return f"'{text}" if text[:1] in _FORMULA_BEGINS else text
