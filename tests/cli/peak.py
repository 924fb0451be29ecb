"""The most memory that this process has had."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak() -> int:
    """In bytes. Linux counts what the parent had at the fork into ``ru_maxrss``, but not into ``VmHWM``."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
