"""``python -m framework`` is the command ``framework``."""

from __future__ import annotations

from framework.cli import main

main()
