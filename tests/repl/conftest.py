"""What the tests of the REPL share: people at terminals, whose processes end with the test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.acceptance.conftest import serve
from tests.acceptance.server import REFERENCE_APP
from tests.repl.terminal import Terminal

__all__ = ["serve"]

DATABASE = "sqlite:///orders.db"


class Sit(Protocol):
    def __call__(self, *arguments: object, url: str, folder: Path = ..., **options: Any) -> Terminal:
        """Somebody who has started the REPL and waits for the prompt."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def free_url() -> str:
    """Where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def sit(tmp_path: Path) -> Iterator[Sit]:
    terminals: list[Terminal] = []

    def sit(*arguments: object, url: str, folder: Path = REFERENCE_APP, **options: Any) -> Terminal:
        terminal = Terminal(folder, "--database", DATABASE, "--url", url, *arguments, cwd=tmp_path, **options)
        terminals.append(terminal)
        return terminal

    yield sit
    for terminal in terminals:
        terminal.close()
