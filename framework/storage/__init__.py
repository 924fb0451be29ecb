"""Where rows, items and tokens are kept: one contract, an engine for each database.

``open_storage`` picks the engine by the URL; nothing else of the framework knows which one it is.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from framework.errors import CannotOpen
from framework.storage.contract import Storage

DEFAULT_URL = "sqlite:///framework.db"


def open_storage(url: str = DEFAULT_URL) -> AbstractAsyncContextManager[Storage]:
    """The open storage behind a URL, closed with the block; ``CannotOpen`` says what is wrong.

    ``sqlite:///orders.db`` is a file in the current folder, ``sqlite:////var/lib/orders.db`` an absolute one.
    """
    scheme, _, path = url.partition("://")
    if scheme == "sqlite":
        if not path.startswith("/") or path in ("/", "/:memory:"):
            raise CannotOpen(
                f"{url!r} names no file: write sqlite:///NAME.db for a file in the current folder, "
                "sqlite:////PATH/NAME.db for an absolute path"
            )
        from framework.storage.sqlite import SqliteStorage

        return SqliteStorage.open(url, path[1:])
    raise CannotOpen(f"no storage engine for {scheme!r}: the database URL starts with sqlite:///")


__all__ = ["DEFAULT_URL", "Storage", "open_storage"]
