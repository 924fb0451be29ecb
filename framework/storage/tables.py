"""The tables of the framework itself, and the column types that both engines share.

Tables of classes come from ``framework.atom``. These hold what the framework itself must remember.
"""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.types import TypeEngine, UserDefinedType

from framework.values import jsontext

metadata = MetaData()


class Json(TypeDecorator[Any]):
    """A JSON value as text, so that key order and integers of any size survive on every engine."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return jsontext.encode(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else jsontext.decode(value)


class UtcDateTime(TypeDecorator[datetime.datetime]):
    """A point in time, stored as UTC. On SQLite it is text that sorts by time, always with microseconds."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return self.to_text(value)

    @staticmethod
    def to_text(value: datetime.datetime) -> str:
        """The stored form."""
        return value.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(" ", "microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime.datetime | None:
        if value is None:
            return None
        return datetime.datetime.fromisoformat(value).replace(tzinfo=datetime.UTC)


class Declared(UserDefinedType[Any]):
    """Another type of the framework, in a column with the type that the definition declares."""

    cache_ok = True

    def __init__(self, usual: TypeEngine[Any], declared: str) -> None:
        self.usual = usual
        self.declared = declared

    def get_col_spec(self, **kw: Any) -> str:
        return self.declared

    def bind_processor(self, dialect: Dialect) -> Any:
        return self.usual.dialect_impl(dialect).bind_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return self.usual.dialect_impl(dialect).result_processor(dialect, coltype)

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        return self


# SQLite assigns numbers to an INTEGER PRIMARY KEY only, never to a BIGINT one.
RowNumber = BigInteger().with_variant(Integer(), "sqlite")

FIFO = Table(
    "_framework_fifo",
    metadata,
    Column("id", RowNumber, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    # The number of items. The engine keeps it, because counting a million takes long.
    Column("length", BigInteger, nullable=False, server_default="0"),
    Column("paused", Boolean, nullable=False, server_default="0"),
    # It rises at each take-over and at each failure. A claim with an older number is lost.
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("owner", BigInteger),  # the process that delivered last
    Column("item", BigInteger),  # the item in work, or null
    Column("worker", Text),
    Column("since", Double),
    Column("policy", Text),
    # Since when housekeeping has found it empty and unused. A put resets it.
    Column("idle_since", Double),
)

ITEM = Table(
    "_framework_item",
    metadata,
    # AUTOINCREMENT: an id is never reused, so a late acknowledgement cannot hit a new item.
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("fifo", BigInteger, nullable=False),
    Column("payload", Text, nullable=False),
    Column("key", Text),
    Column("put_at", Double, nullable=False),
    Column("request_id", Text),  # of the request that put it, directly or by another item
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("crashes", Integer, nullable=False, server_default="0"),
    # How often its process died while others were in work beside it.
    Column("suspicion", Integer, nullable=False, server_default="0"),
    Column("held", Boolean, nullable=False, server_default="0"),
    # On the engine's steady clock, which nobody can set. The delay is stored for a restart of that clock.
    Column("not_before", Double, nullable=False, server_default="0"),
    Column("delay", Double, nullable=False, server_default="0"),
    Column("first_at", Double),
    Column("last_at", Double),
    Column("reason", Text),
    Column("traceback", Text),
    Index("_framework_item_order", "fifo", "id"),
    sqlite_autoincrement=True,
)

DEAD = Table(
    "_framework_dead",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("fifo", BigInteger, nullable=False),
    Column("item", BigInteger, nullable=False),
    Column("payload", Text, nullable=False),
    Column("put_at", Double, nullable=False),
    Column("request_id", Text),
    Column("attempts", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("first_at", Double),
    Column("last_at", Double),
    Column("died_at", Double, nullable=False),
    Column("traceback", Text),
    Column("lived_at", Double),  # on the database's own clock, see framework.storage.age
    Index("_framework_dead_order", "fifo", "id"),
    sqlite_autoincrement=True,
)

# Keys of recent puts. They outlive their items, so that a late repetition is recognized.
KEY = Table(
    "_framework_key",
    metadata,
    Column("fifo", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),
    Column("item", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("lived_at", Double),
    Index("_framework_key_lived", "fifo", "lived_at"),
)

PROCESS = Table(
    "_framework_process",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("stopping", Boolean, nullable=False, server_default="0"),
    Column("locks", Integer),  # the version of its locks; null for processes that cannot see ours
    sqlite_autoincrement=True,
)

# Workers that cannot currently run, for the operator's commands.
PROBLEM = Table(
    "_framework_problem",
    metadata,
    Column("process", BigInteger, primary_key=True, autoincrement=False),
    Column("worker", Text, primary_key=True),
    Column("problem", Text, nullable=False),
    Column("since", Double, nullable=False),
)

# A drain in force: processes that had the database open when it was requested get no new item. At most one row.
DRAIN = Table(
    "_framework_drain",
    metadata,
    # AUTOINCREMENT: a process that opens the database later recognizes earlier drains by a smaller number.
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    sqlite_autoincrement=True,
)

REQUEST = Table(
    "_framework_request",
    metadata,
    Column("account", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("process", BigInteger),  # the process that has it in progress; null once there is a response
    Column("status", Integer),
    Column("headers", Text),
    Column("body", LargeBinary),
    Column("created_at", Double, nullable=False),
    Column("lived_at", Double),
    Index("_framework_request_lived", "lived_at"),
)

# The roles in force at the last start of a gateway, so that the operator's commands need no folder.
ROLE = Table(
    "_framework_role",
    metadata,
    Column("name", Text, primary_key=True),
    Column("rights", Json, nullable=False),
)

ACCOUNT = Table(
    "_framework_account",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),
    # The key in force. A disabled account has none: its key is set aside, so that a logon finds nothing, as with an
    # unknown key.
    Column("key_hash", LargeBinary, unique=True),
    Column("kept_hash", LargeBinary),
    Column("roles", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("key_made_at", Double, nullable=False),
    Column("logged_on_at", Double),
    sqlite_autoincrement=True,
)

TOKEN = Table(
    "_framework_token",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("account", Text),  # null for an operator's token, which may call everything
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("lived_at", Double),  # when it was made
    Index("_framework_token_account", "account"),
    sqlite_autoincrement=True,
)

# What the columns of the classes held at the last check. As long as the definition says the same, no row needs to be
# checked.
FIELD = Table(
    "_framework_field",
    metadata,
    Column("class", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    Column("rules", Text, nullable=False),
)

# All changes of the classes' tables, and their causes.
MIGRATION = Table(
    "_framework_migration",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("version", Text, nullable=False),
    Column("cause", Text, nullable=False),  # start or migrate
    Column("changes", Text, nullable=False),
    Column("statements", Text, nullable=False),
    Column("copy", Text),
    sqlite_autoincrement=True,
)

# The database's own clock, which measures ages. One row. See framework.storage.age.
CLOCK = Table(
    "_framework_clock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("boot", Text, nullable=False),
    Column("base", Double, nullable=False),  # added to the steady clock of this boot, it is the time lived
    Column("began", Double, nullable=False),  # the time lived when this boot was first seen
    Column("first", Double, nullable=False),  # the time lived when the database was first seen
    Column("lived", Double, nullable=False),  # at the last reading, like the following
    Column("wall", Double, nullable=False),
    Column("owed", Double, nullable=False),
    Column("owed_since", Double, nullable=False),
    # No FIFO begins below this epoch, because a forgotten one has reached it.
    Column("epoch", BigInteger, nullable=False, server_default="0"),
)

# Actions of operators: who, when, and what. Never a secret or a payload.
AUDIT = Table(
    "_framework_audit",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("user", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text),
    Column("arguments", Json, nullable=False),
    Column("affected", BigInteger),
    Column("lived_at", Double),
    sqlite_autoincrement=True,
)

# The servers that run on this database, each with what its definitions rely on. See framework.serving.neighbours.
SERVER = Table(
    "_framework_server",
    metadata,
    Column("process", BigInteger, primary_key=True, autoincrement=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("folder", Text),
    Column("version", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("relies_on", Json, nullable=False),
)
