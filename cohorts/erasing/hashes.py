"""Keyed hashes of what was erased: they recognise a value that is shown again, and give none away."""

from __future__ import annotations

from django.utils.crypto import salted_hmac


def id_hash(*, project_id: int, distinct_id: str) -> str:
    """Return what an audit row keeps of an id: 64 hexadecimal digits, keyed with SECRET_KEY."""
    return salted_hmac("cohorts.erasing.id", f"{project_id}\0{distinct_id}", algorithm="sha256").hexdigest()


def value_hash(*, match_property_id: int, value: str) -> bytes:
    """Return what a tombstone keeps of its value: 32 bytes, keyed with SECRET_KEY."""
    return salted_hmac("cohorts.erasing.value", f"{match_property_id}\0{value}", algorithm="sha256").digest()
