"""Drop YAML into a folder, and get an API, a database and workers that take its orders one by one."""

from __future__ import annotations

__version__ = "0.1.0"
