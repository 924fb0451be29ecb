"""Each kind of mistake has a folder of its own, with what is said of it; what only looks odd has one too."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.definitions import CODES, check, render

FIXTURES = Path(__file__).parents[1] / "fixtures"
BROKEN = sorted(path.name for path in (FIXTURES / "check" / "broken").iterdir())
RIGHT = sorted(path.name for path in (FIXTURES / "check" / "right").iterdir())


@pytest.mark.parametrize("name", BROKEN)
def test_a_mistake_is_told_in_exactly_these_words(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FIXTURES / "check" / "broken")
    checked = check(name, environ={})
    assert render(checked, "text") + "\n" == Path(name, "expected.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RIGHT)
def test_what_only_looks_odd_passes_without_a_word(name: str, recwarn: pytest.WarningsRecorder) -> None:
    checked = check(FIXTURES / "check" / "right" / name, environ={})
    assert render(checked, "text").splitlines()[1:] == []
    assert checked.problems == ()
    assert not recwarn.list


def test_the_reference_application_passes_without_a_word() -> None:
    checked = check(FIXTURES / "reference-app")
    assert checked.problems == ()
    assert checked.files == 3
    found = checked.definitions
    assert [atom.name for atom in found.atoms] == ["OrderEntry"]
    assert [route.path for route in found.routes] == ["/v1/orders/{orderId}"]
    assert [(worker.name, worker.mode, worker.function) for worker in found.workers] == [
        ("Dispatcher", "single", "consume")
    ]
    assert render(checked, "text").endswith("reference-app: 1 class, 1 route, 1 worker: no mistakes")


def test_every_code_has_a_fixture_and_every_code_used_is_known() -> None:
    used = {
        problem.code
        for name in BROKEN
        for problem in check(FIXTURES / "check" / "broken" / name, environ={}).problems
    }
    assert used == set(CODES)


def test_all_mistakes_of_a_run_are_told_in_the_order_of_their_places() -> None:
    checked = check(FIXTURES / "check" / "broken", environ={})
    places = [problem.location for problem in checked.problems]
    assert len(places) > 100
    assert places == sorted(places)
    assert {Path(place.path).parent.name for place in places} >= {"misspelt-key", "wrong-mode", "unseen-name"}
