"""What is true of SQLite alone: its files, its locks, its threads."""

from __future__ import annotations

import pytest

from tests.contract.engines import ENGINES, Engine


@pytest.fixture
def engine() -> Engine:
    [sqlite] = [engine for engine in ENGINES if engine.name == "sqlite"]
    return sqlite
