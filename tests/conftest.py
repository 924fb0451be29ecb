"""What the tests of several modules share: an event loop, an open storage, and checked definitions."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from framework.definitions import Definitions, check
from framework.queue.fifo import Fifos
from framework.storage import Storage, open_storage
from framework.storage.operations import Operation
from framework.transactions.session import Session

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts what runs in the background so, and all that the tests start would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where the environment forbids bytecode, each of the commands that the tests start would compile the framework anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

REFERENCE_APP = Path(__file__).parent / "fixtures" / "reference-app"


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """``-n auto`` is two workers a core: many tests wait for a server, and another one uses the core meanwhile."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return 2 * (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Workers begin with whole modules, whose fixtures are made once, and take tests from a slower one at the end."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Tests marked ``anyio`` run on the loop that the server runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture
async def storage(url: str) -> AsyncIterator[Storage]:
    async with open_storage(url) as opened:
        yield opened


class Recorder:
    """The real storage, but it notes the operations of each unit and fails as often as it is told to."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.units: list[tuple[Operation, ...]] = []
        self.failures: list[Exception] = []

    async def write(self, operations: Sequence[Operation], **options: Any) -> list[Any]:
        self.units.append(tuple(operations))
        if self.failures:
            raise self.failures.pop(0)
        return await self._storage.write(operations, **options)

    def kinds(self) -> list[list[str]]:
        """The names of the operations of each unit so far."""
        return [[type(operation).__name__ for operation in unit] for unit in self.units]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


@pytest.fixture
def recorder(storage: Storage) -> Recorder:
    return Recorder(storage)


@pytest.fixture
def session(recorder: Recorder) -> Iterator[Session]:
    """A session as the runtime binds it, on the recorded storage."""
    session = Session()
    session.bind(recorder)
    yield session
    session.stop()


@pytest.fixture
async def fifos(session: Session) -> AsyncIterator[Fifos]:
    """What scripts call as ``FIFO``; what it owes is written before the storage closes."""
    fifos = Fifos(session)
    yield fifos
    await fifos.settlements.settle()


@pytest.fixture
def define(tmp_path: Path) -> Callable[..., Definitions]:
    """Definitions of YAML texts, checked as a start checks them."""

    def define(*texts: str) -> Definitions:
        folder = tmp_path / "definitions"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for number, text in enumerate(texts):
            (folder / f"{number}.yaml").write_text(text, encoding="utf-8")
        checked = check(folder, environ={})
        assert not checked.errors, checked.errors
        return checked.definitions

    return define
