"""The result of a script's own statement."""

from __future__ import annotations

from typing import Any

from framework.storage.operations import Executed


class Result:
    """The rows of ``conn.execute``. Iterate over it, or use ``fetchall``, ``first``, ``scalar``."""

    def __init__(self, executed: Executed) -> None:
        self.columns = executed.columns
        self.rowcount = executed.rowcount
        self._rows = executed.rows

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows, as tuples."""
        return list(self._rows)

    def first(self) -> tuple[Any, ...] | None:
        """The first row, or None."""
        return self._rows[0] if self._rows else None

    def scalar(self) -> Any:
        """The first column of the first row, or None."""
        return self._rows[0][0] if self._rows else None

    def mappings(self) -> list[dict[str, Any]]:
        """All rows, as dicts by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self._rows]

    def __iter__(self) -> Any:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
