"""Forwarding to a back end: the framework, the same by hand, and the back end itself, each alone in turn."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.load import LoadError, Plan, generate
from benchmarks.orders import Cores
from benchmarks.report import Report, Sample
from benchmarks.servers import ROOT, Launch, Running, ServerError, framework, running

BODY = '{"name":"hoge1","padding":"' + "x" * 970 + '"}'

ROUTE = """
proxy: {{path: '/v1/orders/{{orderId}}', authorization: {{auth_mode: none}}}}
target: {{authorities: ['{backend}']}}
"""


@dataclass(frozen=True)
class Case:
    """One kind of load."""

    method: str
    connections: int

    def __str__(self) -> str:
        body = f" with {len(BODY)} bytes" if self.method == "POST" else ""
        return f"{self.method}{body}, {self.connections} connection{'s' if self.connections > 1 else ''}"


CASES = (Case("GET", 1), Case("GET", 32), Case("POST", 32))


def _framework(folder: Path, port: int, backend: str) -> Launch:
    definitions = folder / "definitions"
    definitions.mkdir()
    (definitions / "route.yaml").write_text(ROUTE.format(backend=backend), encoding="utf-8")
    return replace(framework(definitions, folder, port), token=lambda: None)


def _by_hand(folder: Path, port: int, backend: str) -> Launch:
    command = [sys.executable, "-m", "benchmarks.peers.proxy", "--port", str(port), "--backend", backend]
    return Launch(command, "/", lambda: None)


def _backend(folder: Path, port: int) -> Launch:
    return Launch([sys.executable, "-m", "benchmarks.peers.backend", "--port", str(port)], "/", lambda: None)


SUBJECTS: dict[str, Callable[[Path, int, str], Launch] | None] = {
    "framework": _framework,
    "by hand": _by_hand,
    "no gateway": None,
}


def run_round(report: Report, number: int, *, seconds: float, folder: Path, cores: Cores) -> None:
    """Measure each subject once before a back end of its own."""
    for name, launch in SUBJECTS.items():
        if name in report.failed:
            continue
        try:
            with tempfile.TemporaryDirectory(dir=folder) as files:
                _subject(report, name, launch, number, seconds=seconds, folder=Path(files), cores=cores)
        except ServerError as error:
            report.failed[name] = str(error)


def _subject(
    report: Report,
    name: str,
    launch: Callable[[Path, int, str], Launch] | None,
    number: int,
    *,
    seconds: float,
    folder: Path,
    cores: Cores,
) -> None:
    with running("back end", _backend, folder / "backend", cores=cores.generator) as backend:
        if launch is None:
            _load(report, name, backend, number, seconds=seconds, cores=cores)
            return
        url = f"http://127.0.0.1:{backend.port}"
        with running(
            name, lambda files, port: launch(files, port, url), folder / "gateway", cores=cores.server
        ) as server:
            _load(report, name, server, number, seconds=seconds, cores=cores)


def _load(report: Report, name: str, server: Running, number: int, *, seconds: float, cores: Cores) -> None:
    for case in CASES:
        plan = Plan(
            port=server.port,
            method=case.method,
            paths=[f"/v1/orders/{order}?a={order}" for order in range(100)],
            connections=case.connections,
            seconds=seconds,
            warm_up=max(0.3, seconds / 4),
            body=BODY if case.method == "POST" else "",
            cores=list(cores.generator),
        )
        try:
            result = generate(plan, cwd=str(ROOT))
        except LoadError as error:
            raise ServerError(f"{error}\nthe server wrote:\n{server.written()}") from None
        sample = Sample("forwarding", str(case), name, number, result.rate)
        report.add(replace(sample, latencies=result.latencies, busy=result.busy))
