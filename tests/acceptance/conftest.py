"""What the acceptance tests share: servers that are ended with the test, by their process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from .server import Server


class Serve(Protocol):
    def __call__(
        self,
        definitions: Path,
        *options: object,
        database: str = ...,
        env: dict[str, str] | None = ...,
        wait: bool = ...,
    ) -> Server:
        """Start a server in the test's folder; with ``wait`` (the default) it serves already."""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    servers: list[Server] = []

    def serve(
        definitions: Path,
        *options: object,
        database: str = "sqlite:///orders.db",
        env: dict[str, str] | None = None,
        wait: bool = True,
    ) -> Server:
        server = Server(definitions, tmp_path, *options, database=database, env=env)
        servers.append(server)
        return server.ready() if wait else server

    yield serve
    for server in servers:
        server.close()
