"""The database's own clock: what a wall clock says alone makes nothing older."""

from __future__ import annotations

import pytest

from framework.storage.age import SETTLED, SHORT, Age, Reading, look

DAY = 86400.0
T = 1_800_000_000.0


class Machine:
    """A machine with its clocks, and the database that looks at them."""

    def __init__(self) -> None:
        self.boot, self.steady, self.wall = "first", 50.0, T
        self.age: Age | None = None
        self.look()

    def run(self, seconds: float) -> None:
        """Time that goes by, with a look every hour as housekeeping does."""
        while seconds > 0:
            part = min(seconds, 3600.0)
            self.steady, self.wall, seconds = self.steady + part, self.wall + part, seconds - part
            self.look()

    def off(self, seconds: float, boot: str = "second") -> None:
        self.boot, self.steady, self.wall = boot, 10.0, self.wall + seconds

    def look(self) -> float:
        self.age = look(self.age, Reading(self.boot, self.steady, self.wall))
        return self.age.lived - T


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_time_that_the_machine_runs_is_time_lived(machine: Machine) -> None:
    machine.run(100 * DAY)
    assert machine.look() == pytest.approx(100 * DAY)


@pytest.mark.parametrize("step", [91 * DAY, -91 * DAY, 3600.0, -50 * 365 * DAY])
def test_a_clock_that_is_set_while_the_machine_runs_makes_nothing_older_or_younger(
    machine: Machine, step: float
) -> None:
    machine.wall += step
    machine.run(3 * DAY)
    assert machine.look() == pytest.approx(3 * DAY)
    machine.wall -= step
    machine.run(3 * DAY)
    assert machine.look() == pytest.approx(6 * DAY)


def test_a_long_time_off_counts_after_a_day_and_not_before(machine: Machine) -> None:
    machine.off(100 * DAY)
    assert machine.look() == pytest.approx(0)
    machine.run(SETTLED - 3600)
    assert machine.look() == pytest.approx(SETTLED - 3600)
    machine.run(2 * 3600)
    assert machine.look() == pytest.approx(100 * DAY + SETTLED + 3600)
    assert machine.age is not None
    assert machine.age.owed == 0


def test_a_start_with_a_clock_far_ahead_counts_nothing_and_leaves_nothing_when_it_was_set_right(
    machine: Machine,
) -> None:
    machine.off(91 * DAY + 600)
    machine.run(20 * 3600)
    machine.wall -= 91 * DAY  # as NTP does
    machine.run(10 * DAY)
    assert machine.look() == pytest.approx(10 * DAY + 20 * 3600, abs=SHORT)


def test_starts_with_a_clock_ahead_do_not_add_up_to_a_day(machine: Machine) -> None:
    for number in range(60):
        machine.off(91 * DAY, f"boot {number}")
        machine.run(1800)
        machine.off(-91 * DAY, f"and back {number}")
        machine.look()
    assert machine.look() < 2 * DAY


def test_two_with_different_clocks_do_not_convince_each_other(machine: Machine) -> None:
    """Of one machine, and one of them lives in a year of its own."""
    for _ in range(100):
        machine.wall += 91 * DAY
        machine.look()
        machine.wall -= 91 * DAY
        machine.run(3600)
    assert machine.look() == pytest.approx(100 * 3600)


def test_a_short_time_off_needs_no_proof(machine: Machine) -> None:
    machine.off(SHORT)
    assert machine.look() == pytest.approx(SHORT)


def test_a_machine_whose_clock_begins_in_1970_loses_time_but_gains_none(machine: Machine) -> None:
    machine.boot, machine.steady, machine.wall = "second", 5.0, 0.0
    machine.run(60)
    machine.wall += T + DAY  # a day was in fact between
    machine.run(DAY)
    assert machine.look() == pytest.approx(DAY, abs=SHORT)


def test_a_steady_clock_that_went_back_takes_no_age_away(machine: Machine) -> None:
    machine.run(DAY)
    machine.steady -= 3600
    assert machine.look() == pytest.approx(DAY)
