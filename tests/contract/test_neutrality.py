"""What the contract asks for is asked of every engine: only an engine's own folder may know it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .engines import ENGINES, Engine

FOLDER = Path(__file__).parent
MODULES = sorted(set(FOLDER.glob("*.py")) - {FOLDER / "engines.py"})


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_a_test_of_the_contract_names_no_engine(module: Path) -> None:
    text = module.read_text("utf-8").lower()
    assert [engine.name for engine in ENGINES if engine.name in text] == []


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_tests_of_an_engine_say_whose_they_are(engine: Engine) -> None:
    name = engine.name
    tests = [path.name for path in (FOLDER / name).glob("test_*.py")]
    assert tests
    assert [test for test in tests if not test.startswith(f"test_{name}_")] == []
