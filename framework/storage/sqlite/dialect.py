"""SQLAlchemy's SQLite dialect, with all words that SQLite does not accept as names.

The rule: every statement is made with this dialect, because any word may be the name of a field.
"""

from __future__ import annotations

from sqlalchemy.dialects.sqlite.base import SQLiteIdentifierPreparer
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite


class _Quoting(SQLiteIdentifierPreparer):
    # The library's list is older than `ON CONFLICT DO NOTHING` and `RETURNING`.
    reserved_words = SQLiteIdentifierPreparer.reserved_words | {"nothing", "returning"}


class Dialect(SQLiteDialect_pysqlite):
    """How statements are written for SQLite."""

    supports_statement_cache = True
    preparer = _Quoting
