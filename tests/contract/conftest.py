"""A database of each engine for every test of the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import BigInteger, Boolean, Column, Double, Index, MetaData, Table, Text

from framework.storage import Storage, open_storage
from framework.storage.tables import Json, RowNumber, UtcDateTime

from .engines import ENGINES, Engine


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine of the suite in turn."""
    assert isinstance(request.param, Engine)
    return request.param


@pytest.fixture
def url(engine: Engine, tmp_path: Path) -> str:
    """The URL of a new, empty database."""
    return engine.url(tmp_path)


@pytest.fixture
async def storage(url: str) -> AsyncIterator[Storage]:
    async with open_storage(url) as opened:
        yield opened


@pytest.fixture
async def another(url: str) -> AsyncIterator[Callable[[], Awaitable[Storage]]]:
    """Opens the same database once more: to the storage it is as if another process did."""
    async with AsyncExitStack() as stack:

        async def another() -> Storage:
            return await stack.enter_async_context(open_storage(url))

        yield another


@pytest.fixture
def thing() -> Table:
    """A table with a column of each type, a key and a unique value."""
    return Table(
        "Thing",
        MetaData(),
        Column("seq", RowNumber, primary_key=True, autoincrement=True),
        Column("key", Text, nullable=False),
        Column("code", BigInteger),
        Column("text", Text),
        Column("real", Double),
        Column("flag", Boolean),
        Column("json", Json),
        Column("at", UtcDateTime),
        Index("Thing.key", "key", unique=True),
        Index("Thing.code", "code", unique=True),
    )


@pytest.fixture
async def things(storage: Storage, thing: Table) -> Table:
    """The same, made in the database."""
    await storage.ensure_tables([thing])
    return thing
