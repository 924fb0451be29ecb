"""The one command: measure, side by side, and print ratios. No figure makes it fail; a broken subject does.

Exit status: 0 measured, 1 a subject failed (the others are reported all the same), 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from benchmarks import access, forwarding, machine, orders, prints, queues, rows
from benchmarks.report import Report, as_json, as_text

HTTP = {"orders": orders.run_round, "access": access.run_round, "forwarding": forwarding.run_round}
NAMES = (*HTTP, *rows.CASES, *queues.CASES, "prints")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the framework and its peers side by side, and print the ratios. "
        "Run it from the top of the repository, on a machine with nothing else to do.",
        epilog="orders: the order app over HTTP, against the same app by hand and a bare echo. "
        "access: one script behind a token and a role, behind a schema, and open. "
        "forwarding: a route with a target, against the same by hand and the back end alone. "
        "puts: durable puts into one queue at 64 tasks. "
        "deliveries: put, deliver and acknowledge with one consumer. "
        "loads, saves: one row by its key, and one field of it, against the bare driver. "
        "prints: a burst of qprints, with nobody, one, and a stopped one listening. "
        "See benchmarks/README.md.",
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="length of each measurement (default: %(default)g)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often each subject has its turn (default: %(default)d)"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=NAMES,
        metavar="NAME",
        help=f"one of {', '.join(NAMES)}; repeatable",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="(default: %(default)s)")
    parser.add_argument(
        "--dir", type=Path, help="where the databases are made (default: the system's temporary folder)"
    )
    parser.add_argument(
        "--pin",
        action="store_true",
        help="orders, access, forwarding: give each server the first core and the load generator the others "
        "(Linux)",
    )
    arguments = parser.parse_args(argv)
    if arguments.seconds <= 0 or arguments.rounds < 1:
        parser.error("--seconds must be above 0, and --rounds at least 1")
    if arguments.pin and _cores() < 2:
        parser.error("--pin needs Linux and two cores")
    return arguments


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def _measure(arguments: argparse.Namespace, folder: Path) -> Report:
    settings = {"seconds": arguments.seconds, "rounds": arguments.rounds, "pin": arguments.pin}
    report = Report(machine.facts(folder), settings)
    cores = orders.Cores.apart() if arguments.pin else orders.Cores()
    for name in arguments.only or NAMES:
        for number in range(1, arguments.rounds + 1):
            print(f"{name}, round {number} of {arguments.rounds} ...", file=sys.stderr)
            if name in HTTP:
                HTTP[name](report, number, seconds=arguments.seconds, folder=folder, cores=cores)
            elif name in rows.CASES:
                rows.run_round(report, name, number, seconds=arguments.seconds, folder=folder)
            elif name == "prints":
                prints.run_round(report, number, seconds=arguments.seconds, folder=folder)
            else:
                queues.run_round(report, name, number, seconds=arguments.seconds, folder=folder)
    return report


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=arguments.dir) as folder:
            report = _measure(arguments, Path(folder))
    except KeyboardInterrupt:
        print("interrupted; the servers are stopped and the files removed", file=sys.stderr)
        return 130
    print(json.dumps(as_json(report), indent=2) if arguments.format == "json" else as_text(report))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
