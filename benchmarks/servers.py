"""Start a server, wait until it answers, stop it: the framework, its peer and the limit, all the same way.

Each server is a child process on a free port of the loopback interface. It is ended by its own pid, whatever
happens in the block that uses it.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.peers.handwritten import TOKEN_HASH

ROOT = Path(__file__).resolve().parent.parent
ORDER_APP = ROOT / "definitions"
ACCESS_APP = ROOT / "benchmarks" / "access_app"
PRINTS_APP = ROOT / "benchmarks" / "prints_app"
REFERENCE_APP = ROOT / "tests" / "fixtures" / "reference-app"
START = 20.0
STOP = 15.0


class ServerError(Exception):
    """A server did not come up, or went away; the message ends with what it wrote."""


@dataclass(frozen=True)
class Launch:
    """How to start a server: its command, and how to get the token that its callers send."""

    command: list[str]
    ready_path: str
    token: Callable[[], str | None]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A server that answers: where, and the headers that its callers send."""

    process: subprocess.Popen[bytes]
    port: int
    headers: dict[str, str]
    log: Path

    def written(self) -> str:
        """The end of what the server wrote to stdout and stderr."""
        return self.log.read_text(errors="replace").strip()[-3000:] or "(it wrote nothing)"


def framework(definitions: Path, folder: Path, port: int) -> Launch:
    product = [sys.executable, "-m", "framework"]
    database = f"sqlite:///{folder / 'framework.db'}"

    def token() -> str:
        command = [*product, "token", "--database", database]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START, cwd=ROOT)
        if done.returncode:
            raise ServerError(f"`framework token` ended with {done.returncode}:\n{done.stderr.strip()}")
        return done.stdout.strip()

    serve = ["serve", str(definitions), "--database", database, "--port", str(port), "--no-workers"]
    return Launch([*product, *serve], "/-/ready", token)


def handwritten(folder: Path, port: int) -> Launch:
    token = secrets.token_urlsafe(32)
    command = [sys.executable, "-m", "benchmarks.peers.handwritten"]
    arguments = ["--database", str(folder / "handwritten.db"), "--port", str(port)]
    environment = {TOKEN_HASH: hashlib.sha256(token.encode()).hexdigest()}
    return Launch([*command, *arguments], "/", lambda: token, environment)


def echo(folder: Path, port: int) -> Launch:
    command = [sys.executable, "-m", "benchmarks.peers.echo", "--port", str(port)]
    return Launch(command, "/", lambda: None)


# What the order app is measured on.
SERVERS: dict[str, Callable[[Path, int], Launch]] = {
    "framework": partial(framework, ORDER_APP),  # `transaction: true`: one commit a request
    "reference app": partial(framework, REFERENCE_APP),  # as it came: one commit for each write
    "handwritten": handwritten,
    "limit": echo,
}

LAUNCHES: dict[str, Callable[[Path, int], Launch]] = {
    **SERVERS,
    "access": partial(framework, ACCESS_APP),
    "prints": partial(framework, PRINTS_APP),
}


@contextmanager
def serving(name: str, folder: Path, *, cores: Sequence[int] = ()) -> Iterator[Running]:
    """The server `name` with its files in `folder`, from its first answer to the end of the block.

    If `cores` are named, it runs on these alone (Linux).
    """
    with running(name, LAUNCHES[name], folder, cores=cores) as server:
        yield server


@contextmanager
def running(
    name: str, make: Callable[[Path, int], Launch], folder: Path, *, cores: Sequence[int] = ()
) -> Iterator[Running]:
    """As `serving`, for a server that `make` says how to start."""
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    launch = make(folder, port)
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            launch.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **launch.environment},
            start_new_session=True,  # Ctrl-C comes to us alone, and we end it
        )
    try:
        if cores:
            os.sched_setaffinity(process.pid, cores)  # the threads that it starts inherit this
        server = Running(process, port, {}, log)
        _await_answer(name, server, launch.ready_path)
        token = launch.token()
        if token:
            server.headers["X-Auth-Token"] = token
        yield server
    finally:
        _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_answer(name: str, running: Running, path: str) -> None:
    deadline = time.monotonic() + START
    while running.process.poll() is None:
        if _answers(running.port, path):
            return
        if time.monotonic() > deadline:
            raise ServerError(f"{name} did not answer within {START:g} s; it wrote:\n{running.written()}")
        time.sleep(0.05)
    code = running.process.returncode
    raise ServerError(f"{name} ended with {code} at start; it wrote:\n{running.written()}")


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
