"""The control socket of a server: how commands of this machine find it, and call it as the operator.

The one rule: **whoever can connect can also open the database.** The socket lies beside the database, in a folder
that only its owner may enter. So a call by this socket needs no token, and no token is ever sent to a port on which
another user may listen. There is nothing for a process in the middle to relay.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import weakref
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from framework import storage
from framework.errors import CannotOpen
from framework.process import files
from framework.script.callout import Callout
from framework.values import jsontext

logger = logging.getLogger("framework.server")

PATH = "/-/server"  # what it tells about itself, only on the control socket

_PREFIX = "gateway-"
_PATIENCE = 5.0  # seconds for a server to identify itself
_ANY = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server, from ``http://host:port``."""

    url: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Address:
        """Raises ``CannotOpen``, which says what a URL must look like."""
        wrong = CannotOpen(
            f"{url!r} is not the URL of a server: write http://HOST:PORT, as in http://127.0.0.1:9099"
        )
        try:
            parts = urlsplit(url)
            port = parts.port or 80
        except ValueError:
            raise wrong from None
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise wrong
        return cls(f"http://{parts.netloc}", parts.hostname, port)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs on the database. ``socket`` is the path to connect to its control socket."""

    pid: int
    host: str
    port: int
    socket: str

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    async def listens_on(self, address: Address) -> bool:
        """Does this address reach it, and not a server of another machine?"""
        if address.port != self.port:
            return False
        try:
            found = await asyncio.get_running_loop().getaddrinfo(address.host, None)
        except (OSError, UnicodeError):  # the latter for a name that is too long to look up
            return False
        hosts = {str(name[0]) for *_, name in found}
        return any(host == self.host or (self.host in _ANY and _is_ours(host)) for host in hosts)


# ---- of a server ----------------------------------------------------------------------------

_offered: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_in_child() -> None:
    """A forked child that outlives the server must not keep its socket: a client would wait for an answer."""
    for listener in list(_offered):
        number = listener.detach()
        if number >= 0:
            os.close(number)


os.register_at_fork(after_in_child=_close_in_child)


def about(listener: socket.socket) -> dict[str, Any]:
    """What a server that listens there tells about itself."""
    host, port = listener.getsockname()[:2]
    return {"pid": os.getpid(), "host": host, "port": port}


@contextmanager
def offered(url: str) -> Iterator[socket.socket | None]:
    """The control socket of a server of this database, which listens while the block runs.

    None, with a warning, if there cannot be one. Then commands need a token and the server's URL.
    """
    name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    with closing(storage.sockets(url)) as folder:
        try:
            folder.make()
            listener = folder.listen(name)
        except OSError as error:
            logger.warning(
                "no control socket in %s: %s. `framework call` and `repl` will not find this server",
                folder.path,
                error.strerror or error,
            )
            yield None
            return
        _offered.add(listener)
        try:
            yield listener
        finally:
            folder.remove(name)
            listener.close()


# ---- of a command ---------------------------------------------------------------------------


class Servers:
    """The servers that run on a database. ``close`` it when you no longer call any of them."""

    def __init__(self, url: str) -> None:
        self._folder = storage.sockets(url)

    async def found(self, address: Address | None = None) -> list[Server]:
        """The servers, or the one that listens on an address. Raises ``CannotOpen`` for an unsafe folder."""
        if not self._is_there():
            return []
        servers = []
        for name in self._names(elsewhere=address is not None):
            server = await self._ask(name)
            if server is not None and (address is None or await server.listens_on(address)):
                servers.append(server)
        return servers

    def _names(self, *, elsewhere: bool) -> list[str]:
        """The sockets. A user who may not list them can call a server by its address, as ``elsewhere``."""
        try:
            return sorted(self._folder.names(_PREFIX))
        except FileNotFoundError:  # it has just gone
            return []
        except PermissionError:
            if elsewhere:
                return []
            raise CannotOpen(
                f"only a user who can open the database may look into {self._folder.path}: run this as that user, "
                "or give --url and a token"
            ) from None

    def _is_there(self) -> bool:
        """Is there a folder? Raises ``Refused`` if another user can put a socket into it."""
        try:
            files.require_folder(self._folder.path, self._folder.access)
        except FileNotFoundError:
            return False
        return True

    async def _ask(self, name: str) -> Server | None:
        """The server that listens on a socket. The socket of a dead process is removed."""
        path = self._folder.address(name)
        callout = Callout()
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.setblocking(False)
                probe.connect(path)
            callout.join("http://server", socket=path)
            answer = await callout(PATH, request_timeout=_PATIENCE)
        except ConnectionRefusedError:
            with suppress(OSError):  # it is no socket, or not ours to remove
                self._folder.remove(name)
            return None
        except OSError:  # it has just gone, or we may not
            return None
        finally:
            await callout.close()
        return _server(answer.body, path) if answer.code == 200 else None

    def close(self) -> None:
        """Close everything. May be called again."""
        self._folder.close()


def _server(body: bytes, path: str) -> Server | None:
    try:
        found = jsontext.decode(body)
    except ValueError:
        return None
    if not isinstance(found, Mapping):
        return None
    pid, host, port = found.get("pid"), found.get("host"), found.get("port")
    if not (isinstance(pid, int) and isinstance(host, str) and isinstance(port, int)):
        return None
    return Server(pid, host, port, path)


def _is_ours(host: str) -> bool:
    """Is this an address of this machine? A server can listen on no other."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
