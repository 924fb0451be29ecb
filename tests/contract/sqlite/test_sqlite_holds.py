"""The system keeps the locks of a process; it loses them while it lives only with their descriptor."""

from __future__ import annotations

import sqlite3

import pytest

from framework.storage import Storage
from framework.storage.operations import Acknowledge, Deliver, Delivery, Put
from tests.contract.processes import Child

pytestmark = pytest.mark.anyio

# A script closes the numbers of files that it has not opened; `again`: and another file gets the number; `same`:
# and the database itself, opened once more, gets it. That descriptor has no locks.
CLOSE = """
    from framework.storage.sqlite import ranges
    [delivery] = await db.write([Deliver("q", 10.0)])
    say(delivery.payload)
    [file] = ranges._files.values()
    number = file.number
    os.close(number)
    if sys.argv[2] == "again":
        assert os.open("/dev/null", os.O_RDONLY) == number
    if sys.argv[2] == "same":
        assert os.open(URL.removeprefix("sqlite:///"), os.O_RDWR) == number
    say(await asyncio.shield(db.disowned))
    say(await db.until_lost())
    try:
        await db.write([Acknowledge(delivery.claim)])
    except DatabaseLost:
        say("refused")
    await hear()
    if sys.argv[2] != "closed":
        os.fstat(number)  # it is somebody else's, and left to him
"""


@pytest.mark.parametrize("again", ["again", "closed", "same"])
async def test_a_process_whose_descriptor_a_script_has_closed_says_so_and_stores_nothing(
    storage: Storage, url: str, again: str
) -> None:
    await storage.write([Put("q", '"a"', 1.0)])
    child = await Child.start(CLOSE, url, again)
    assert await child.line() == '"a"'
    assert "has closed the descriptor" in await child.line()
    assert "is in the database file: start again" in await child.line()
    assert await child.line() == "refused"
    [delivery] = await storage.write([Deliver("q", 10.0)])
    assert isinstance(delivery, Delivery), "it has lost its claim, and we may take it over"
    await storage.write([Acknowledge(delivery.claim)])
    await child.tell()
    _, errors = await child.process.communicate()
    assert child.process.returncode == 0, errors.decode()
    path = url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
