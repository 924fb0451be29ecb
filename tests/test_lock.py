"""The lock file of the development environment has what pyproject.toml asks for, each with its hashes."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
PINNED = {
    canonicalize_name(name): (version, hashes)
    for name, version, hashes in re.findall(
        r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)[^\n\\]*((?: \\\n    --hash=sha256:[0-9a-f]{64})*)$",
        LOCK,
        re.MULTILINE,
    )
}


def asked() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [
        Requirement(text) for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    ]


def test_the_lock_has_what_the_project_asks_for() -> None:
    """When this fails, `.ci/lock` writes it anew."""
    wrong = [
        str(requirement)
        for requirement in asked()
        if (name := canonicalize_name(requirement.name)) not in PINNED
        or PINNED[name][0] not in requirement.specifier
    ]
    assert not wrong


def test_each_library_is_pinned_with_its_hashes_and_with_nothing_of_a_machine() -> None:
    lines = [line for line in LOCK.splitlines() if line and not line.startswith("    --hash=sha256:")]
    assert len(lines) == len(PINNED) > 30
    assert all(hashes for _, hashes in PINNED.values())
    for foreign in ("://", "file:", "--index", "--find", "@", "-e "):
        assert not any(foreign in line for line in lines)


def test_every_floor_is_a_version_and_ci_takes_it() -> None:
    """`.ci/floors` runs the tests with exactly these."""
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "oldest.py"], capture_output=True, text=True, check=True
    )
    floors = dict(line.split("==") for line in done.stdout.splitlines())
    for requirement in asked():
        [specifier] = requirement.specifier or [None]
        if specifier is not None:
            assert specifier.operator == ">="
            assert floors.get(requirement.name, specifier.version) == specifier.version
    assert {"aiohttp", "httptools", "uvicorn", "starlette", "sqlalchemy", "pyyaml", "pytest"} <= floors.keys()
    assert ".ci/floors" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
