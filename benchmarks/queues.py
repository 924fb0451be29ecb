"""Durable queues in process: puts at 64 tasks, and put + deliver + acknowledge with one consumer."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Report, Sample
from benchmarks.servers import ROOT
from benchmarks.subjects import CYCLES, PUTS, TASKS, Measurement

CASES = {
    "puts": (f"one put after another in each of {TASKS} tasks or threads, one queue", list(PUTS)),
    "deliveries": ("put, deliver and acknowledge, one producer and one consumer", list(CYCLES)),
}


def run_round(report: Report, benchmark: str, number: int, *, seconds: float, folder: Path) -> None:
    """Measure each queue once; one that cannot run is noted in the report and left out from then on."""
    case, names = CASES[benchmark]
    for name in names:
        noted = f"{name}, {benchmark}"
        if noted in report.skipped or noted in report.failed:
            continue
        with tempfile.TemporaryDirectory(dir=folder) as files:
            result = _measure(benchmark, name, seconds, files)
        if result.failed:
            report.failed[noted] = result.failed
        elif result.unavailable:
            report.skipped[noted] = result.unavailable
        else:
            report.add(Sample(benchmark, case, name, number, result.rate))


def _measure(benchmark: str, name: str, seconds: float, folder: str) -> Measurement:
    command = [sys.executable, "-m", "benchmarks.subjects", benchmark, name, folder, str(seconds)]
    limit = 60 + 4 * seconds
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return Measurement(failed=f"it did not end within {limit:g} s")
    if done.returncode:
        return Measurement(failed=done.stderr.strip()[-3000:] or f"it ended with {done.returncode}")
    return Measurement(**json.loads(done.stdout))
