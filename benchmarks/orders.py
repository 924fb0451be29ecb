"""The order app over HTTP: the framework, the same app written by hand, and the limit, each alone in turn."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.load import LoadError, Plan, Result, generate
from benchmarks.report import Report, Sample
from benchmarks.servers import ROOT, SERVERS, Running, ServerError, serving

CONNECTIONS = (1, 64)
ORDERS_READ = 1000
"""GET goes round through the identifiers of this many orders, as far as POST has stored so many."""


@dataclass(frozen=True)
class Case:
    """One kind of load on a server."""

    method: str
    connections: int

    def __str__(self) -> str:
        path = "/v1/orders" if self.method == "POST" else "/v1/orders/{id}"
        return f"{self.method} {path}, {self.connections} connection{'s' if self.connections > 1 else ''}"


@dataclass(frozen=True)
class Cores:
    """Which cores the server and the load generator may use; empty where the system decides."""

    server: tuple[int, ...] = ()
    generator: tuple[int, ...] = ()

    @classmethod
    def apart(cls) -> Cores:
        """The first core for the server, the others for the generator (Linux, two cores or more)."""
        first, *others = sorted(os.sched_getaffinity(0))
        return cls((first,), tuple(others))


def run_round(report: Report, number: int, *, seconds: float, folder: Path, cores: Cores) -> None:
    """Measure each server once; one that fails is noted in the report and left out from then on."""
    for name in SERVERS:
        if name in report.failed:
            continue
        try:
            with (
                tempfile.TemporaryDirectory(dir=folder) as files,
                serving(name, Path(files), cores=cores.server) as server,
            ):
                for case, result in _measure(server, _plan(server, seconds, cores)):
                    sample = Sample("orders", str(case), name, number, result.rate)
                    report.add(replace(sample, latencies=result.latencies, busy=result.busy))
        except ServerError as error:
            report.failed[name] = str(error)


def _plan(server: Running, seconds: float, cores: Cores) -> Plan:
    """What all loads on `server` have in common."""
    return Plan(
        port=server.port,
        method="GET",
        paths=[],
        connections=1,
        seconds=seconds,
        warm_up=max(0.3, seconds / 4),
        headers=server.headers,
        cores=list(cores.generator),
    )


def _measure(server: Running, plan: Plan) -> Iterator[tuple[Case, Result]]:
    try:
        for connections in CONNECTIONS:
            plan = replace(plan, connections=connections)
            posted = generate(_post(plan), cwd=str(ROOT))
            yield Case("POST", connections), posted
            yield Case("GET", connections), generate(_get(plan, posted.bodies), cwd=str(ROOT))
    except LoadError as error:
        raise ServerError(f"{error}\nthe server wrote:\n{server.written()}") from None


def _post(plan: Plan) -> Plan:
    body = '{"name":"hoge1"}'
    return replace(plan, method="POST", paths=["/v1/orders"], body=body, keep_bodies=ORDERS_READ)


def _get(plan: Plan, orders: list[str]) -> Plan:
    return replace(plan, paths=[f"/v1/orders/{json.loads(order)['orderId']}" for order in orders])
