"""``python -m mutation.types mypy …``: mypy on the mutated modules, without what it says of anything but mutants.

The other copies and the wrappers around them have errors too: a wrapped method no longer fits a protocol, say. An error
that the untouched copy of a function has as well says nothing about its mutants. Runs in mutmut's folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

_ORIGINAL = "__mutmut_orig"


def main() -> int:
    """Print mypy's JSON lines of the mutants alone."""
    done = subprocess.run(sys.argv[1:], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.stderr.write(done.stdout + done.stderr)
        return done.returncode
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)  # function: (message, line of mypy's)
    for line in done.stdout.splitlines():
        if line.strip():
            error = json.loads(line)
            name = _function(error["file"], error["line"])
            if name is not None:
                found[f"{error['file']}:{name}"].append((error["message"], line))
    for name, errors in found.items():
        stem, _, number = name.rpartition("__mutmut_")
        known = {message for message, _ in found.get(f"{stem}{_ORIGINAL}", ())}
        if number != "orig":
            print("\n".join(line for message, line in errors if message not in known))
    return 0


def _function(file: str, line: int) -> str | None:
    """The mutant, or the untouched copy, that this line belongs to."""
    path = Path(f"{file}.spans")
    if not path.exists():
        return None
    spans: dict[str, list[int]] = json.loads(path.read_text())["spans"]
    return next((name for name, (first, last) in spans.items() if first <= line <= last), None)


if __name__ == "__main__":
    raise SystemExit(main())
