"""What the fault tests share: real servers, real programs, and the seed of what is random."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.acceptance.server import Server

from .program import Program


class Serve(Protocol):
    def __call__(
        self, definitions: Path, *options: object, env: dict[str, str] | None = ..., wait: bool = ...
    ) -> Server:
        """Start ``framework serve`` on the test's database; with ``wait`` (the default) it serves already."""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    servers: list[Server] = []

    def serve(
        definitions: Path, *options: object, env: dict[str, str] | None = None, wait: bool = True
    ) -> Server:
        server = Server(definitions, tmp_path, *options, database="sqlite:///test.db", env=env)
        servers.append(server)
        return server.ready() if wait else server

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def start(url: str) -> Iterator[Callable[..., Program]]:
    """Start a program on the test's database; it is ended with the test."""
    programs: list[Program] = []

    def start(body: str, *arguments: object, setup: str = "") -> Program:
        programs.append(Program(body, url, *arguments, setup=setup))
        return programs[-1]

    yield start
    for program in programs:
        program.close()


@pytest.fixture
def source() -> random.Random:
    """What is random in a test. Its seed is printed, and taken from ``FAULTS_SEED``."""
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(2**32))
    print(f"FAULTS_SEED={seed}")
    return random.Random(seed)
