"""The command that `serve` prints to be pasted: it is found from another terminal, whatever its PATH."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from framework.cli.serve import _command


@pytest.mark.parametrize(
    ("path", "called", "shown"),
    [
        (".venv/bin", ".venv/bin/framework", "framework"),
        ("/usr/bin", ".venv/bin/framework", ".venv/bin/framework"),
        ("other/bin", ".venv/bin/framework", ".venv/bin/framework"),  # there is another one of the name
        ("/usr/bin", "../elsewhere/framework", "{above}/elsewhere/framework"),
        ("/usr/bin", "package/__main__.py", f"{sys.executable} -m framework"),
        ("/usr/bin", "gone/framework", f"{sys.executable} -m framework"),
    ],
)
def test_it_is_called_in_a_way_that_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, called: str, shown: str
) -> None:
    home = tmp_path / "home"
    for file in (
        ".venv/bin/framework",
        "other/bin/framework",
        "../elsewhere/framework",
        "package/__main__.py",
    ):
        command = home / file
        command.parent.mkdir(parents=True, exist_ok=True)
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
    monkeypatch.chdir(home)
    monkeypatch.setenv("PATH", os.path.abspath(path))
    monkeypatch.setattr(sys, "argv", [os.path.abspath(called)])
    assert _command() == shown.format(above=tmp_path)
