"""What it costs to ask who calls and whether the request fits: one script behind three doors, in one server.

The price of a door is the ratio of the open one's rate to its own, in the same round, on the same process.
The script does next to nothing, so that this is the largest share that the price can have of a request.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from benchmarks.load import LoadError, Plan, Result, generate
from benchmarks.orders import Cores
from benchmarks.report import Report, Sample
from benchmarks.servers import ROOT, START, Running, ServerError, serving

CONNECTIONS = (1, 32)
DOORS = ("open", "token", "schema")
BODY = json.dumps({"name": "tea", "amount": 3, "size": "small", "tags": ["green", "fresh"]})


def run_round(report: Report, number: int, *, seconds: float, folder: Path, cores: Cores) -> None:
    """Measure each door once; a failure is noted in the report."""
    if "access" in report.failed:
        return
    try:
        with (
            tempfile.TemporaryDirectory(dir=folder) as files,
            serving("access", Path(files), cores=cores.server) as server,
        ):
            plan = Plan(
                port=server.port,
                method="POST",
                paths=[],
                connections=1,
                seconds=seconds,
                warm_up=max(0.3, seconds / 4),
                body=BODY,
                cores=list(cores.generator),
            )
            token = _log_on(server, Path(files) / "framework.db")
            for connections, door, result in _measure(server, plan, token):
                case = f"POST, {connections} connection{'s' if connections > 1 else ''}"
                sample = Sample("access", case, door, number, result.rate)
                report.add(replace(sample, latencies=result.latencies, busy=result.busy))
    except ServerError as error:
        report.failed["access"] = str(error)


def _log_on(server: Running, database: Path) -> str:
    """The token of an account that has a role: its check is dearer than that of an operator's."""
    command = [sys.executable, "-m", "framework", "account", "add", "caller", "--role", "caller"]
    command += ["--database", f"sqlite:///{database}"]
    made = subprocess.run(command, capture_output=True, text=True, timeout=START, cwd=ROOT)
    if made.returncode:
        raise ServerError(f"`framework account` ended with {made.returncode}:\n{made.stderr.strip()}")
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=START)) as connection:
        connection.request("POST", "/-/logon", headers={"X-Xaas-Api-Key": made.stdout.strip()})
        return str(json.loads(connection.getresponse().read())["token"])


def _measure(server: Running, plan: Plan, token: str) -> Iterator[tuple[int, str, Result]]:
    try:
        for connections in CONNECTIONS:
            for door in DOORS:
                # All requests are of one size: it is the check that is measured, not the reading of a header.
                headers = {"X-Auth-Token" if door == "token" else "X-Only-Noise": token}
                load = replace(plan, connections=connections, paths=[f"/{door}/tea"], headers=headers)
                yield connections, door, generate(load, cwd=str(ROOT))
    except LoadError as error:
        raise ServerError(f"{error}\nthe server wrote:\n{server.written()}") from None
