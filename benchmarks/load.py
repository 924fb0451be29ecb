"""The load generator: closed-loop HTTP/1.1 clients on kept-alive connections, in a process of their own.

It must never be what limits the figure: requests are bytes made beforehand, and of an answer only the status
and the length are read. The rule to know: any answer but a 2xx, and any lost connection, ends the run as an
error; a fast failure is no throughput.

As a module (`python -m benchmarks.load`) it reads a `Plan` as JSON from stdin and writes a `Result` as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from array import array
from dataclasses import asdict, dataclass, field
from time import perf_counter_ns, process_time
from typing import Any

import uvloop

from benchmarks.histogram import Histogram

DRAIN = 15.0
"""Seconds that the last answers may take after the measured time before the run counts as hung."""


class LoadError(Exception):
    """The server answered with something else than a 2xx, lost a connection or hung."""


@dataclass(frozen=True)
class Plan:
    """What to send: `connections` clients, each with one request under way, going round through `paths`.

    Answers count from `warm_up` seconds after the connections stand, for `seconds`. Of the first
    `keep_bodies` answers the bodies are handed back. If `cores` are named, the generator runs on these alone.
    """

    port: int
    method: str
    paths: list[str]
    connections: int
    seconds: float
    warm_up: float
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    keep_bodies: int = 0
    cores: list[int] = field(default_factory=list)

    def requests(self) -> list[bytes]:
        body = self.body.encode()
        headers = {"Host": f"127.0.0.1:{self.port}", "Accept": "application/json", **self.headers}
        if body:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return [f"{self.method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body for path in self.paths]


@dataclass(frozen=True)
class Result:
    """What came back: answers a second, their latencies, and the share of a core that the generator used."""

    rate: float
    latencies: Histogram
    busy: float
    bodies: list[str]


class _Run:
    """One run: what its connections share."""

    def __init__(self, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        self.requests = plan.requests()
        self.latencies = array("Q")
        self.bodies: list[str] = []
        self.keep_bodies = plan.keep_bodies
        self.open = plan.connections
        self.finished: asyncio.Future[None] = loop.create_future()
        self.since = self.until = 0

    def schedule(self, warm_up: float, seconds: float) -> None:
        self.since = perf_counter_ns() + int(warm_up * 1e9)
        self.until = self.since + int(seconds * 1e9)

    def close(self) -> None:
        self.open -= 1
        if not self.open and not self.finished.done():
            self.finished.set_result(None)

    def fail(self, message: str) -> None:
        if not self.finished.done():
            self.finished.set_exception(LoadError(message))


class _Connection(asyncio.Protocol):
    """One client: sends, waits for the whole answer, sends the next."""

    def __init__(self, run: _Run, first: int) -> None:
        self._run = run
        self._requests = run.requests
        self._next = first % len(self._requests)
        self._received = b""
        self._sent_at = 0
        self._over = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self) -> None:
        request = self._requests[self._next]
        self._next = (self._next + 1) % len(self._requests)
        self._sent_at = perf_counter_ns()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        head = data.find(b"\r\n\r\n")
        if head < 0:
            self._received = data
            return
        length = _content_length(data[:head])
        if length is None:
            self._run.fail(f"an answer without Content-Length: {data[:300]!r}")
        elif len(data) < head + 4 + length:
            self._received = data
        else:
            self._received = b""
            self._answered(data, head + 4)

    def _answered(self, data: bytes, body_at: int) -> None:
        now, run = perf_counter_ns(), self._run
        if data[9:10] != b"2":
            run.fail(f"an answer that is no 2xx: {data[:600].decode(errors='replace')}")
            return
        if run.since <= now < run.until:
            run.latencies.append(now - self._sent_at)
        if len(run.bodies) < run.keep_bodies:
            run.bodies.append(data[body_at:].decode())
        if now < run.until and not run.finished.done():
            self.send()
        else:
            self._over = True
            run.close()

    def abandon(self) -> None:
        self._over = True
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._over:
            self._run.fail(f"the server closed a connection under load: {error or 'end of stream'}")


def _content_length(head: bytes) -> int | None:
    start = head.find(b"content-length:")
    if start < 0:
        head = head.lower()
        start = head.find(b"content-length:")
        if start < 0:
            return None
    end = head.find(b"\r\n", start)
    return int(head[start + 15 : end if end >= 0 else None])


async def _generate(plan: Plan) -> Result:
    loop = asyncio.get_running_loop()
    run = _Run(plan, loop)
    stride = max(1, len(run.requests) // plan.connections)
    connections: list[_Connection] = []
    try:
        for number in range(plan.connections):
            _, connection = await loop.create_connection(
                lambda first=number * stride: _Connection(run, first),  # type: ignore[misc]
                "127.0.0.1",
                plan.port,
            )
            connections.append(connection)
        run.schedule(plan.warm_up, plan.seconds)
        for connection in connections:
            connection.send()
        busy = await _measured(run, plan)
    finally:
        for connection in connections:
            connection.abandon()
    if not run.latencies:
        raise LoadError(f"not one answer within {plan.seconds:g} s")
    return Result(len(run.latencies) / plan.seconds, Histogram.of(run.latencies), busy, run.bodies)


async def _measured(run: _Run, plan: Plan) -> float:
    """Wait for the end of the run; the share of a core that this process used in the measured time."""
    marks: list[float] = []
    loop = asyncio.get_running_loop()
    timers = [
        loop.call_later(after, lambda: marks.append(process_time()))
        for after in (plan.warm_up, plan.warm_up + plan.seconds)
    ]
    try:
        await asyncio.wait_for(run.finished, plan.warm_up + plan.seconds + DRAIN)
    except TimeoutError:
        raise LoadError(f"{run.open} connections had no answer for {DRAIN:g} s") from None
    finally:
        for timer in timers:
            timer.cancel()
    marks.append(process_time())
    return (marks[1] - marks[0]) / plan.seconds


def generate(plan: Plan, *, cwd: str) -> Result:
    """Run `plan` in a process of its own, bounded in time; raises `LoadError` with the reason."""
    command = [sys.executable, "-m", "benchmarks.load"]
    limit = plan.warm_up + plan.seconds + 2 * DRAIN
    try:
        done = subprocess.run(
            command, input=json.dumps(asdict(plan)), capture_output=True, text=True, timeout=limit, cwd=cwd
        )
    except subprocess.TimeoutExpired:
        raise LoadError(f"the load generator did not end within {limit:g} s") from None
    if done.returncode:
        raise LoadError(done.stderr.strip()[-2000:] or f"the load generator ended with {done.returncode}")
    answer = json.loads(done.stdout)
    return Result(answer["rate"], Histogram(answer["latencies"]), answer["busy"], answer["bodies"])


def main() -> int:
    plan = Plan(**json.load(sys.stdin))
    gc.disable()
    if plan.cores:
        os.sched_setaffinity(0, plan.cores)
    try:
        result = uvloop.run(_generate(plan))
    except (LoadError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    json.dump({**vars(result), "latencies": result.latencies.buckets()}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
