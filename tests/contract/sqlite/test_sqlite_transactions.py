"""A transaction that SQLite itself has ended."""

from __future__ import annotations

import pytest
from sqlalchemy import Table

from framework.errors import Duplicate, Unavailable
from framework.storage import Storage
from framework.storage.operations import Execute
from tests.contract.test_transactions import LONG, key, keys, never

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("passed_over", [False, True])
async def test_a_transaction_that_the_database_has_ended_stores_nothing(
    storage: Storage, things: Table, passed_over: bool
) -> None:
    """As SQLite ends it when a disk is full. A script that passes over the error does not get its way."""
    costly = Execute(things.insert().prefix_with("OR ROLLBACK", dialect="sqlite").values(key="a"))

    told: list[Unavailable] = []

    async def work() -> None:
        async with storage.transaction(hold=LONG, expired=never) as held:
            await held.write([key(things, "a")])
            for operation in (costly, key(things, "b")):
                try:
                    await held.write([operation])
                except Unavailable as error:
                    told.append(error)
            if not passed_over:
                raise KeyError

    with pytest.raises(Duplicate):  # its end says why the database has ended it
        await work()
    assert ["ended by the database" in str(error) for error in told] == [True, True]
    assert await keys(storage, things) == []
    async with storage.transaction(hold=LONG, expired=never) as held:
        await held.write([key(things, "a")])
    assert await keys(storage, things) == ["a"]
