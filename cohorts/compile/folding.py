"""Texts without regard to case, whatever the collation of the server's database (contract/mixpanel.md, 4.7).

PostgreSQL 18 folds as Unicode says (`Straße` equals `STRASSE`). Older ones have no such function, so there both sides
are lowered and raised, which evens out what one of the two leaves apart (final sigma, long s), in the best collation
the server has: the built-in one from 17 on, else ICU's, which the usual packages of 15 and 16 include. Without either
the database's own collation decides, and in a database made with the C locale case then counts beyond ASCII.
"""

from __future__ import annotations

from enum import Enum

from django.db.backends.base.base import BaseDatabaseWrapper

from cohorts.compile.fragments import Sql


class Folding(Enum):
    """How the server folds a text; the value is the SQL around it."""

    UNICODE = 'casefold({} COLLATE "pg_unicode_fast")'
    BUILT_IN = 'upper(lower({} COLLATE "pg_c_utf8"))'
    ICU = 'upper(lower({} COLLATE "und-x-icu"))'
    DATABASE = "upper(lower({}))"

    def fold(self, text: Sql) -> Sql:
        """Return the folded text."""
        return Sql(self.value).fill(text)


def folding_of(connection: BaseDatabaseWrapper) -> Folding:
    """Return the best way of the server behind a connection."""
    version = int(connection.pg_version)  # type: ignore[attr-defined]
    if version >= 180000:
        return Folding.UNICODE
    if version >= 170000:
        return Folding.BUILT_IN
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu')")
        row = cursor.fetchone()
    return Folding.ICU if row and row[0] else Folding.DATABASE
