"""``python -m mutation [PART…]``: mutate the core's modules and see whether their tests notice.

Each part is copied to ``build/mutation/PART`` and mutated there by mutmut. A second run continues the first one:
it tries those that were alive, and those of functions that have changed. ``--fresh`` begins anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from mutation.parts import PARTS, ROOT, Part
from mutation.report import KILLED, Report, render, to_json

WORK = ROOT / "build" / "mutation"

# What the tests read beside the code.
_COPIED = ("framework", "tests", "definitions", "examples", "docs", "benchmarks", "mutation", "README.md")

_CONFIG = """
[tool.mutmut]
source_paths = ["framework"]
only_mutate = {modules}
also_copy = {copied}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "mutation.deeper"{without}]
pytest_add_cli_args_test_selection = {tests}
type_check_command = [
    "python", "-m", "mutation.types", "mypy", "--output=json", "--no-warn-unused-ignores",
    {checked},
]
timeout_multiplier = 5.0
timeout_constant = 5.0
"""


def main() -> int:
    """Run the parts that are named, or all. 0: every part kills 90 % of the mutants that change behaviour."""
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    names = [part.name for part in PARTS]
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(names)}; all if none")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run has found")
    parser.add_argument("--report", action="store_true", help="run nothing; show what the last run found")
    parser.add_argument("--diff", action="store_true", help="show each mutant that is alive as a diff")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--jobs", type=int, default=2, help="mutants tested at once (2)")
    given = parser.parse_args()
    unknown = set(given.parts) - set(names)
    if unknown:
        parser.error(f"unknown part: {', '.join(sorted(unknown))}; the parts are {', '.join(names)}")
    reports = []
    for part in PARTS:
        if given.parts and part.name not in given.parts:
            continue
        if not given.report:
            _run(part, fresh=given.fresh, jobs=given.jobs)
        reports.append(Report.of(part, WORK / part.name))
    print(to_json(reports) if given.format == "json" else render(reports, diff=given.diff))
    return 0 if all(report.reached for report in reports) else 1


def _run(part: Part, *, fresh: bool, jobs: int) -> None:
    place = WORK / part.name
    if fresh:
        shutil.rmtree(place, ignore_errors=True)
    _copy(place)
    _forget_alive(place, part)
    config = _CONFIG.format(
        modules=list(part.files),
        copied=list(_COPIED),
        without="".join(f', "--deselect={test}"' for test in part.without),
        tests=list(part.tests),
        checked=", ".join(f'"{module}"' for module in part.files),
    )
    (place / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + config)
    print(f"# {part.name}: {', '.join(part.files)}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(jobs)]
    with (place / "mutmut.log").open("w") as log:
        # mypy stands beside the interpreter.
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        environment = {**os.environ, "PATH": path}
        done = subprocess.run(
            command, cwd=place, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        tail = (place / "mutmut.log").read_text().replace("\r", "\n").splitlines()[-25:]
        print("\n".join(tail), file=sys.stderr)
        raise SystemExit(f"mutmut ended with {done.returncode} on {part.name}; see {place}/mutmut.log")


def _forget_alive(place: Path, part: Part) -> None:
    """Tests may have come that kill them: what was alive is tried again."""
    for module in part.files:
        meta = place / "mutants" / f"{module}.meta"
        if meta.exists():
            known = json.loads(meta.read_text())
            codes = known["exit_code_by_key"]
            known["exit_code_by_key"] = {
                name: code if code in KILLED else None for name, code in codes.items()
            }
            meta.write_text(json.dumps(known))


def _copy(place: Path) -> None:
    """The checkout as it is, without links that point nowhere: mutmut cannot copy those."""
    for name in (*_COPIED, "pyproject.toml"):
        source, target = ROOT / name, place / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
            continue
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(
            source, target, ignore=shutil.ignore_patterns("__pycache__"), ignore_dangling_symlinks=True
        )


if __name__ == "__main__":
    raise SystemExit(main())
