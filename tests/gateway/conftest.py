"""What the gateway's tests share: the event loop, and a gateway on a database of its own."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from framework.definitions import check
from framework.serving.runtime import Runtime
from framework.storage import Storage, open_storage

from .client import Client

Serving = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """``async with serving(text, ...) as client``: each text is a file of definitions, in this order."""
    folder = tmp_path / "definitions"
    folder.mkdir()

    @asynccontextmanager
    async def serve(
        *texts: str,
        at: Path | None = None,
        workers: bool = False,
        through: Callable[[Storage], Storage] = lambda storage: storage,
    ) -> AsyncIterator[Client]:
        for number, text in enumerate(texts):
            (folder / f"{number:03}.yaml").write_text(text, encoding="utf-8")
        checked = check(at or folder)
        assert not checked.errors, checked.problems
        runtime = Runtime(checked.definitions)
        async with open_storage(f"sqlite:///{tmp_path}/gateway.db") as storage:
            try:
                app = await runtime.start(through(storage), workers=workers)
                assert app is not None
                yield Client(app, runtime)
            finally:
                await runtime.stop(grace=2)
                await runtime.close()

    return serve


@pytest.fixture
def silent() -> Iterator[Callable[[], int]]:
    """Ports on which a connection is neither made nor refused: their listener's backlog is full."""
    held: list[socket.socket] = []

    def make() -> int:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        held.append(listener)
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
            held.append(waiting)
        port: int = listener.getsockname()[1]
        return port

    try:
        yield make
    finally:
        for one in held:
            one.close()
