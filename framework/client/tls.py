"""How a script's request trusts a server and proves its own identity: TLS contexts, made once for each choice.

A context is costly to make, and connections are pooled by it. If a file is replaced, a new context is made.
"""

from __future__ import annotations

import os
import ssl
from typing import NamedTuple

from framework.errors import FrameworkError

_MOST = 64


class Choice(NamedTuple):
    """``ca_certs`` is trusted instead of the system's authorities; ``client_cert`` may hold its key as well."""

    validate_cert: bool = True
    ca_certs: str | None = None
    client_cert: str | None = None
    client_key: str | None = None


class Contexts:
    """The contexts of one process."""

    def __init__(self) -> None:
        self._made: dict[tuple[Choice, tuple[int, ...]], ssl.SSLContext] = {}

    def context(self, choice: Choice) -> ssl.SSLContext | bool:
        """The context, or True for the default one. Raises ``FrameworkError`` with the name of an unusable file."""
        if choice == Choice():
            return True
        if choice.client_key and not choice.client_cert:
            raise FrameworkError("callout: client_key needs client_cert")
        key = (choice, tuple(_changed(choice)))
        if key not in self._made:
            if len(self._made) >= _MOST:
                self._made.clear()
            self._made[key] = _made(choice)
        return self._made[key]


def _changed(choice: Choice) -> list[int]:
    """The time of the last change of each file."""
    times = []
    for name in ("ca_certs", "client_cert", "client_key"):
        path = getattr(choice, name)
        if path:
            try:
                times.append(os.stat(path).st_mtime_ns)
            except OSError as error:
                raise FrameworkError(f"callout: {name}={path!r}: {error.strerror}") from None
    return times


def _made(choice: Choice) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=choice.ca_certs)
    except (ssl.SSLError, OSError):
        raise FrameworkError(
            f"callout: ca_certs={choice.ca_certs!r} has no certificates in PEM format"
        ) from None
    if not choice.validate_cert:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if choice.client_cert:
        try:
            # Without a password OpenSSL would ask for one at the terminal, and the server would wait.
            context.load_cert_chain(choice.client_cert, choice.client_key, password=lambda: b"")
        except (ssl.SSLError, OSError):
            raise FrameworkError(
                f"callout: client_cert={choice.client_cert!r} and client_key={choice.client_key!r} are not "
                "a certificate and its key in PEM format, without a password"
            ) from None
    return context


def reason(error: ssl.SSLError) -> str:
    """Why there is no connection, in words for users."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted: {error.verify_message}"
    return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
