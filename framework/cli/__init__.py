"""The command ``framework``. Each command is a module. Heavy modules are imported when it runs.

Exit codes: 0 success, 1 the answer is no (mistakes in definitions, a status of 400 or more), 2 it could not run
(wrong usage, no folder, no database, no server), 3 it was done, but its result could not be printed.
"""

from __future__ import annotations

import click

from framework import __version__
from framework.cli import (
    account,
    audit,
    backup,
    call,
    check,
    debug,
    doctor,
    drain,
    fifo,
    migrate,
    repl,
    serve,
    streams,
    stubs,
    token,
)
from framework.values import jsontext


@click.group(
    cls=streams.Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `framework serve`, which serves the folder ./definitions on http://127.0.0.1:9099.",
)
@click.version_option(__version__, prog_name="framework")
def main() -> None:
    """Drop YAML into a folder, and get an API, a database and workers that take its orders one by one.

    Exit code 0: success; 1: the answer is no, for example mistakes or a refusal; 2: it could not run; 3: it was
    done, but its result could not be printed. `serve` has more.
    """
    jsontext.allow_long_numbers()


main.add_command(check.check)
main.add_command(serve.serve)
main.add_command(repl.repl)
main.add_command(call.call)
main.add_command(debug.debug)
main.add_command(token.token)
main.add_command(account.account)
main.add_command(fifo.fifo)
main.add_command(audit.audit)
main.add_command(drain.drain)
main.add_command(backup.backup)
main.add_command(doctor.doctor)
main.add_command(migrate.migrate)
main.add_command(stubs.stubs)

__all__ = ["main"]
