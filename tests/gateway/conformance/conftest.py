"""A gateway and a back end, each a real process, and raw sockets at both ends."""

from __future__ import annotations

import itertools
import json
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import Server

ORIGIN = Path(__file__).with_name("origin.py")

ROUTES = """
- proxy: {path: '/{a}', authorization: {auth_mode: none}}
  target: {authorities: ['127.0.0.1:PORT'], scheme: 'http:'}
- proxy: {path: /slow, authorization: {auth_mode: none}}
  target: {authorities: ['127.0.0.1:PORT'], scheme: 'http:'}
  request_timeout: 0.8
  stream_timeout: 1.5
- proxy: {path: /brief, authorization: {auth_mode: none}}
  target: {authorities: ['127.0.0.1:PORT'], scheme: 'http:'}
  request_timeout: 0.8
  stream_timeout: 0.2
- proxy: {path: '/{a}/{b}/{c}', authorization: {auth_mode: none}}
  target: {authorities: ['http://127.0.0.1:PORT']}
- proxy: {path: '/renamed/{x}', authorization: {auth_mode: none}}
  target: {path: '/new/{x}', authorities: ['http://127.0.0.1:PORT']}
- proxy: {path: '/held', authorization: {auth_mode: none}}
  target: {authorities: ['http://127.0.0.1:PORT']}
  request_forbidden_process: |
    logger.debug("it goes on")
- proxy: {path: '/guest', authorization: {auth_mode: none}}
  target: {authorities: ['http://127.0.0.1:PORT']}
  request_forbidden_process: |
    request.headers["X-Role"] = "guest"
- proxy: {path: '/overridden', authorization: {auth_mode: none}}
  target: {authorities: ['http://127.0.0.1:PORT']}
  pass_headers: [X-HTTP-Method-Override]
- proxy: {path: '/seen', authorization: {auth_mode: none}}
  target: {authorities: ['http://127.0.0.1:PORT']}
  response_forbidden_process: |
    response.headers["x-seen"] = str(len(response.body))
- proxy: {path: '/miscounted', authorization: {auth_mode: none}}
  target: {authorities: ['http://127.0.0.1:PORT']}
  response_forbidden_process: |
    response.headers["Content-Length"] = "999"
- proxy: {path: '/narrow', authorization: {auth_mode: none}}
  target: {authorities: ['http://127.0.0.1:PORT']}
  max_body: 10
- proxy: {path: '/token', authorization: {auth_mode: axis}}
  target: {authorities: ['http://127.0.0.1:PORT']}
"""


class Origin:
    """The back end's process, and what it has told."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, str(ORIGIN)], stdout=subprocess.PIPE, text=True)
        self._markers = itertools.count()
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port: int = self._told.get(timeout=10)["port"]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._told.put(json.loads(line))

    def forget(self) -> None:
        """What it has told so far is of no interest, also what is on its way still: a request of ours is behind it."""
        marker = f"/forget-{next(self._markers)}"
        with socket.create_connection(("127.0.0.1", self.port), 10) as peer:
            peer.sendall(f"GET {marker} HTTP/1.1\r\nHost: o\r\n\r\n".encode())
            while self._told.get(timeout=10).get("target") != marker:
                pass

    def seen(self, marker: str) -> list[dict[str, Any]]:
        """What it was sent until the request with this target, without that and without closed connections."""
        found = []
        while True:
            told = self._told.get(timeout=10)
            if told.get("target") == marker:
                return found
            if "closed" not in told:
                found.append(told)

    def until(self, what: str) -> dict[str, Any]:
        """The next thing of this kind that it tells."""
        while True:
            told = self._told.get(timeout=10)
            if what in told:
                return told

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    origin = Origin()
    try:
        yield origin
    finally:
        origin.close()


@pytest.fixture(autouse=True)
def _anew(origin: Origin) -> None:
    origin.forget()


@pytest.fixture(scope="session")
def gateway(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("conformance")
    definitions = folder / "definitions"
    definitions.mkdir()
    (definitions / "routes.yaml").write_text(ROUTES.replace("PORT", str(origin.port)), encoding="utf-8")
    server = Server(definitions, folder)
    try:
        yield server.ready()
    finally:
        server.close()
