"""Prints constraints for pip: the oldest release of each library that pyproject.toml admits, at run time or in tests.

Tools that only look at the code (ruff, mypy and the like) say something else in each release, so they stay free.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

TOOLS = {"ruff", "mypy", "mutmut", "persist-queue"}

project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
    found = re.match(r"([A-Za-z0-9_.-]+)>=([0-9.]+)", requirement)
    if found is not None and found[1] not in TOOLS:
        print(f"{found[1]}=={found[2]}")
