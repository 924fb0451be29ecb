"""What ``framework doctor`` says about Python, the limits of the process, and the definitions."""

from __future__ import annotations

import asyncio
import platform
import resource
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from framework.storage.findings import Finding

if TYPE_CHECKING:
    from framework.definitions import Definitions
    from framework.serving.snapshot import Snapshot

_OLDEST_PYTHON = (3, 11)
_FEW_FILES = 1024


def python() -> Finding:
    version = platform.python_version()
    data = {"version": version, "executable": sys.executable}
    if sys.version_info < _OLDEST_PYTHON:
        return Finding("python", "error", f"Python {version} is too old: 3.11 or newer is needed", data)
    return Finding("python", "ok", f"Python {version}, {sys.executable}", data)


def limits() -> Iterator[Finding]:
    """The limit of open files bounds the connections. A limit on file size or memory makes writes fail."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    data: dict[str, object] = {"files": _number(files)}
    if files != resource.RLIM_INFINITY and files < _FEW_FILES:
        message = f"only {files} open files are allowed, one a connection: ulimit -n {_FEW_FILES}"
        yield Finding("limits", "warning", message, data)
    else:
        yield Finding("limits", "ok", f"{_number(files) or 'any number of'} open files are allowed", data)
    for limit, name, what in (
        (resource.RLIMIT_FSIZE, "file_size", "no file may become larger than {} bytes (ulimit -f)"),
        (resource.RLIMIT_AS, "memory", "the process may not take more than {} bytes of memory (ulimit -v)"),
    ):
        value = _number(resource.getrlimit(limit)[0])
        if value is not None:
            yield Finding("limits", "warning", f"{what.format(value)}: writes fail beyond it", {name: value})


def _number(limit: int) -> int | None:
    return None if limit == resource.RLIM_INFINITY else limit


def snapshot(folder: str) -> Snapshot | Finding:
    """The definitions, checked and bound as at a start, or why there are none."""
    from framework.definitions import CannotRun, check

    try:
        checked = check(folder)
    except CannotRun as error:
        return Finding("definitions", "error", str(error))
    if checked.errors:
        message = f"{len(checked.errors)} mistake(s) stop a start: see `framework check {folder}`"
        return Finding("definitions", "error", message, {"mistakes": len(checked.errors)})

    return bound(checked.definitions)


def needs(folder: str) -> Iterator[Finding]:
    """What the scripts of a folder need and this machine lacks: settings and modules."""
    from framework.definitions import CannotRun, check

    try:
        problems = check(folder).problems
    except CannotRun:
        return
    for problem in problems:
        if problem.code in ("no-setting", "no-import"):
            yield Finding("scripts", "warning", f"{problem.location}: {problem.message}")


def bound(definitions: Definitions) -> Snapshot:
    """The definitions bound to classes and tables as at a start. No database is opened."""

    async def bind() -> Snapshot:
        from framework.serving.runtime import Runtime

        return Runtime(definitions).snapshot

    return asyncio.run(bind())
