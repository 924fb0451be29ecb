"""A burst of 10,000 `qprint`s: how much a script is slowed by who listens, and by who has ceased to."""

from __future__ import annotations

import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.report import Report, Sample
from benchmarks.servers import ROOT, START, Running, ServerError, serving

BURST = 10_000
CASES = {
    "text": f"{BURST:,} texts printed in one go, without an await",
    "mu": f"{BURST:,} MUs printed in one go, as YAML, without an await",
}
NOBODY, ONE, STOPPED = "nobody listens", "one listens", "one listens, stopped"

PAUSE = 0.5
"""Seconds before each burst, in which everything of the last one is written."""


def run_round(report: Report, number: int, *, seconds: float, folder: Path) -> None:
    """Measure each case with each listener once; a server that cannot run is noted and left out from then on."""
    if "prints" in report.failed:
        return
    with tempfile.TemporaryDirectory(dir=folder) as files:
        try:
            with serving("prints", Path(files)) as server:
                for subject in (NOBODY, ONE, STOPPED):
                    with _listener(subject, Path(files)):
                        for case, text in CASES.items():
                            rate = _rate(server, case, seconds)
                            report.add(Sample("prints", text, subject, number, rate))
        except ServerError as error:
            report.failed["prints"] = str(error)


def _rate(server: Running, case: str, seconds: float) -> float:
    """Prints a second while a burst lasts, as the script measures it: the median of the bursts."""
    _burst(server, case)
    ends = time.monotonic() + seconds
    rates = [_burst(server, case)]
    while time.monotonic() < ends:
        rates.append(_burst(server, case))
    return statistics.median(rates)


def _burst(server: Running, case: str) -> float:
    time.sleep(PAUSE)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with closing(connection):
        connection.request("GET", f"/prints/{case}")
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != 200:
        raise ServerError(f"the server answered {answer.status}; it wrote:\n{server.written()}")
    took: float = json.loads(body)["seconds"]
    return BURST / took


@contextmanager
def _listener(subject: str, folder: Path) -> Iterator[None]:
    """`framework debug` on the server's database, for the block; none where nobody is to listen."""
    if subject == NOBODY:
        yield
        return
    database = f"sqlite:///{folder / 'framework.db'}"
    errors = folder / "listener.log"
    with errors.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "framework", "debug", "--database", database],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START
        while "listening" not in errors.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"`framework debug` does not listen; it wrote:\n{errors.read_text()}")
            time.sleep(0.05)
        if subject == STOPPED:
            os.kill(process.pid, signal.SIGSTOP)
        yield
    finally:
        process.kill()
        process.wait()
