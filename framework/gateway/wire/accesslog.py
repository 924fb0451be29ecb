"""The access log: a line for each request over a connection. It is fast, because every request pays for it.

The one rule: **it holds the template of the path, never the path, and no header except the request id**, because a
path or a query may contain secrets. A path without a route is ``-``. Successful health checks are left out. The
client's address is that of the connection, which a client cannot forge.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from framework.gateway.wire.exchange import Exchange
    from framework.observing.logs import Log

GONE = 499  # the client went away before it had its answer
_Who = tuple[str, str]  # account and address; empty for none
_QUIET = ("/-/live", "/-/ready", "/-/server")


class AccessLog:
    """Writes to ``log`` in its format, ``text`` or ``json``."""

    def __init__(self, log: Log, log_format: str) -> None:
        self._log = log
        self._line: Callable[..., str] = _json if log_format == "json" else _text

    def exchange(self, exchange: Exchange) -> None:
        """Log a request that was answered, or whose client has gone."""
        scope = exchange.scope
        template = scope.get("template", "-")
        if exchange.status == 200 and template in _QUIET:
            return
        took = (time.perf_counter() - exchange.began) * 1000
        status = exchange.status or GONE
        who = scope.get("account", ""), _host(scope.get("client"))
        self._log.later(self._line(scope["method"], template, status, took, exchange.sent, who, exchange.id))

    def refusal(self, code: int, sent: int, id_: str, client: tuple[str, int] | None) -> None:
        """Log input that was refused before it became a request (too large, too slow, not HTTP), and the size of its
        answer."""
        self._log.later(self._line("-", "-", code, 0.0, sent, ("", _host(client)), id_))

    def nudge(self) -> None:
        """Called regularly: write the lines."""
        self._log.nudge()


def _host(client: tuple[str, int] | None) -> str:
    return "" if client is None else client[0]


def _text(method: str, route: str, status: int, took: float, sent: int, who: _Who, id_: str) -> str:
    account, client = who
    by = f" by {account}" if account else ""
    origin = f" from {client}" if client else ""
    line = f"[{id_}] {method} {route} {status} {sent} bytes in {took:.1f} ms{by}{origin}"
    return f"{_clock(int(time.time()))} INFO    {line}"


def _json(method: str, route: str, status: int, took: float, sent: int, who: _Who, id_: str) -> str:
    account, client = who
    now = time.time()
    path = _quoted(route)
    return (
        f'{{"time": "{_second(int(now))}.{int(now % 1 * 1000):03}+00:00", "level": "info", '
        f'"logger": "framework.access", "message": "{method} {path[1:-1]} {status}", "action": "request", '
        f'"method": "{method}", "route": {path}, "status": {status}, "bytes": {sent}, '
        f'"duration_ms": {took:.3f}, "account": {_quoted(account or None)}, "client": {_quoted(client or None)}, '
        f'"request_id": "{id_}"}}'
    )


@functools.lru_cache(maxsize=1)
def _clock(now: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(now))


@functools.lru_cache(maxsize=1)
def _second(now: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))


@functools.lru_cache(maxsize=1000)
def _quoted(text: str | None) -> str:
    """Cached: templates, accounts and addresses of one second are seldom many."""
    return json.dumps(text, ensure_ascii=False)
