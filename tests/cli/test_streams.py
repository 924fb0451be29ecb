"""Standard streams that are closed, full or read by nobody: the exit code tells what was done."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time

import pytest

from framework.cli.streams import UNPRINTED
from tests.acceptance.server import COMMAND, environment

from .conftest import Database, Work

STREAMS = ("<&-", ">&-", "2>&-")
CLOSED = [" ".join(some) for count in (1, 2, 3) for some in itertools.combinations(STREAMS, count)]
BROKEN = pytest.mark.parametrize("how", [">/dev/full", ">&-", "| true"])


def shell(database: Database, arguments: str, streams: str) -> subprocess.CompletedProcess[str]:
    """``framework ARGUMENTS`` by a shell, with its streams as they are given there."""
    command = f"set -o pipefail; {' '.join(COMMAND)} {arguments} --database {database.url} {streams}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=database.folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@BROKEN
def test_what_was_done_and_cannot_be_printed_has_a_code_of_its_own(database: Database, how: str) -> None:
    result = shell(database, "fifo put orders 1", how)
    assert result.returncode == UNPRINTED
    assert "framework: done, but the result could not be printed: " in result.stderr
    assert len(database.items("orders")) == 1


VERBS = ("fifo pause orders", "fifo purge orders --yes", "token", "backup copy.db", "drain", "drain --off")


@pytest.mark.parametrize("verb", VERBS)
def test_so_has_every_verb_that_changes_something(database: Database, verb: str) -> None:
    database.put("orders", 1)
    assert shell(database, verb, ">/dev/full").returncode == UNPRINTED


def test_a_verb_that_was_refused_or_only_looks_has_not(database: Database) -> None:
    database.put("orders", 1)
    assert shell(database, "fifo skip nothere", ">/dev/full").returncode == 1
    looked = shell(database, "fifo ls", ">/dev/full")
    assert (looked.returncode, looked.stderr) == (2, "framework: cannot print: No space left on device\n")
    assert shell(database, "fifo ls", "| true").stderr == ""


def test_a_message_that_nobody_can_take_changes_nothing(database: Database) -> None:
    """The note that a FIFO is new goes to standard error; a refusal too."""
    assert shell(database, "fifo put orders 1", "2>/dev/full").returncode == 0
    assert shell(database, "fifo skip nothere", "2>/dev/full").returncode == 1


@pytest.mark.parametrize("streams", CLOSED)
def test_closed_streams_break_nothing(database: Database, streams: str) -> None:
    expected = UNPRINTED if ">&-" in streams.split() else 0
    result = shell(database, "fifo put orders 1", streams)
    assert result.returncode == expected
    assert "Traceback" not in result.stderr
    assert len(database.items("orders")) == 1
    looked = shell(database, "doctor", streams)
    assert looked.returncode == 0, looked


@pytest.mark.parametrize("streams", [*CLOSED, ">/dev/full", "2>/dev/full"])
def test_a_server_without_streams_serves_and_ends_well(database: Database, work: Work, streams: str) -> None:
    database.put("orders", {"n": 1})
    command = f"exec {' '.join(COMMAND)} serve definitions --no-gateway --database {database.url} {streams}"
    server = subprocess.Popen(["bash", "-c", command], cwd=database.folder, env=environment())
    try:
        deadline = time.monotonic() + 30
        while not work.done() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert work.done()
        time.sleep(0.1)
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait()


def test_an_item_from_a_closed_standard_input_is_refused(database: Database) -> None:
    result = shell(database, "fifo put orders -", "<&-")
    assert result.returncode == 2
    assert "standard input is closed" in result.stderr
