"""A back end on a real port of this machine, for callouts and targets: it answers as its path says."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Backend(ThreadingHTTPServer):
    """``/status/CODE`` answers so, ``/flaky/N`` fails N times first, ``/echo`` tells, ``/hang`` waits.

    ``/slow/SECONDS`` answers late, ``/cookie`` gives a cookie, ``/scripted`` answers what ``scripted`` says.
    """

    daemon_threads = True
    request_queue_size = 512  # many connect at once

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._tls = tls
        self.connections = 0  # those that were agreed on
        self.requests: list[dict[str, Any]] = []
        self.extra: dict[str, str] = {}  # headers of each echo
        self.scripted: tuple[int, bytes, dict[str, str]] = (200, b"", {})
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.server_port}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In a thread of the connection's own: so is the handshake, if there is one."""
        if self._tls is not None:
            try:
                request = self._tls.wrap_socket(request, server_side=True)
            except OSError:  # the client did not trust us, or we not it
                request.close()
                return
        self.connections += 1
        with suppress(OSError):  # with TLS 1.3 a client without a certificate is refused as it begins to talk
            super().finish_request(request, client_address)
        if self._tls is not None:
            request.close()


class _Handler(BaseHTTPRequestHandler):
    server: Backend
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        request = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(length).decode(),
        }
        self.server.requests.append(request)
        kind, _, argument = self.path.strip("/").partition("/")
        if kind == "status":
            self._answer(
                int(argument), b"not json" if argument == "500" else b'{"status": %s}' % argument.encode()
            )
        elif kind == "flaky":
            seen = sum(request["path"] == self.path for request in self.server.requests)
            self._answer(503 if seen <= int(argument) else 200, str(seen).encode())
        elif kind == "cookie":
            self._answer(200, b"", {"Set-Cookie": "session=mine; Path=/"})
        elif kind == "scripted":
            self._answer(*self.server.scripted)
        elif kind == "slow":
            self.server.closing.wait(float(argument))
            self._answer(200, b"late")
        elif kind == "hang":
            self.server.closing.wait(30)
            self.close_connection = True
        elif kind == "break":
            self.close_connection = True
        elif kind == "moved":
            self._answer(302, b"", {"Location": "/status/200"})
        else:
            self._answer(200, json.dumps(request).encode(), {"X-Order": "7", **self.server.extra})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _any

    def _answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests look at ``requests``."""


@contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[Backend]:
    with Backend(tls) as backend:
        thread = threading.Thread(target=backend.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield backend
        finally:
            backend.closing.set()
            backend.shutdown()
            thread.join()


def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
