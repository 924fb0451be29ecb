"""Commands and code run as another user of the machine, which takes root."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import COMMAND, Result, environment

SERVICE, STRANGER = 65534, 65533  # the numbers are enough: they need no name

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run something as another user")


def _is_closed(path: Path) -> bool:
    return any(not place.stat().st_mode & stat.S_IXOTH for place in (path, *path.parents))


def _become(user: int) -> tuple[list[str], dict[str, Any]]:
    """What stands before the command, and the options of ``Popen``.

    An interpreter that lies where only root can look may still be read; nothing can be written by it.
    """
    if _is_closed(Path(sys.base_prefix)) or _is_closed(Path(sys.prefix)):
        capability = "-all,+dac_read_search"
        own = ["--reuid", str(user), "--regid", str(user), "--clear-groups"]
        return ["setpriv", *own, "--inh-caps", capability, "--ambient-caps", capability], {}
    return [], {"user": user, "group": user, "extra_groups": []}


def run_as(user: int, *arguments: object, cwd: Path, umask: int = 0o022) -> Result:
    """Run ``framework ARGUMENTS`` to its end, as a user."""
    return _run(user, [*COMMAND, *map(str, arguments)], cwd, umask)


def python_as(user: int, code: str, *, cwd: Path) -> Result:
    """Run a program of one's own, as a user."""
    return _run(user, [sys.executable, "-c", code], cwd, 0o022)


def _run(user: int, command: list[str], cwd: Path, umask: int) -> Result:
    before, options = _become(user)
    done = subprocess.run(
        [*before, *command],
        cwd=cwd,
        env=environment({"HOME": str(cwd), "XDG_STATE_HOME": str(cwd)}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        umask=umask,
        **options,
    )
    return Result(done.returncode, done.stdout, done.stderr)


class Running:
    """``framework serve`` as a user, from when its banner is out; ``end`` stops it."""

    def __init__(self, user: int, *arguments: object, cwd: Path, env: dict[str, str] | None = None) -> None:
        self._log = (cwd.parent / f"{cwd.name}.log").open("w+b")
        before, options = _become(user)
        self.process = subprocess.Popen(
            [*before, *COMMAND, "serve", *map(str, arguments), "--port", "0"],
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            **options,
        )
        assert self.process.stdout is not None
        out = ""
        for line in self.process.stdout:
            out += line
            if "Ctrl-C stops" in line:
                self.url = line.split()[2].rstrip(";")
                return
        raise AssertionError(f"it did not start: {out} {self.err}")

    @property
    def err(self) -> str:
        return Path(self._log.name).read_text()

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()
        return code


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that belongs to the service's user, where others can look: pytest's own is closed to them."""
    outer = Path(tempfile.mkdtemp(prefix="framework-users-"))
    outer.chmod(0o755)
    inner = outer / "service"
    inner.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(inner, SERVICE, SERVICE)
    yield inner
    shutil.rmtree(outer)
