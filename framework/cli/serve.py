"""``framework serve``: the API, the database and the workers of a folder."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import click

from framework.cli import loading, options, output, printing

if TYPE_CHECKING:
    from framework.definitions import Checked, Definitions
    from framework.definitions.problem import Problem
    from framework.gateway.wire.accesslog import AccessLog
    from framework.observing.logs import Log
    from framework.process.shutdown import Shutdown
    from framework.serving.runtime import Runtime


logger = logging.getLogger("framework.server")


@click.command(short_help="Serve the definitions: API, database and workers.")
@options.folder
@options.database
@options.host
@options.port
@click.option("--no-workers", is_flag=True, help="Serve only the API. Another process runs the workers.")
@click.option("--no-gateway", is_flag=True, help="Run only the workers. Another process serves the API.")
@click.option(
    "--logon-expires",
    type=options.Duration(least="1m", most="30d"),
    envvar="FRAMEWORK_LOGON_EXPIRES",
    show_envvar=True,
    default="12h",
    show_default=True,
    help="How long a token from POST /-/logon is valid: 1m to 30d.",
)
@click.option(
    "--stop-timeout",
    type=options.Duration(zero=True),
    envvar="FRAMEWORK_STOP_TIMEOUT",
    show_envvar=True,
    default="8s",
    show_default=True,
    help="How long work in progress may take at a stop before it is cancelled. 0 means as long as it takes.",
)
@click.option(
    "--stop-at-eof",
    is_flag=True,
    help="Stop when standard input ends, and so with the program that started the server, even if that is killed.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Log lines for people, or one JSON object per line.",
)
@click.option("--no-access-log", is_flag=True, help="Do not log each request. Errors are still logged.")
def serve(
    folder: str,
    database: str,
    host: str,
    port: int,
    no_workers: bool,
    no_gateway: bool,
    logon_expires: float,
    stop_timeout: float,
    stop_at_eof: bool,
    log_format: str,
    no_access_log: bool,
) -> None:
    """Serve the definitions in DIR (default: ./definitions).

    The command checks them first, and does not start if there is a mistake. Definitions are trusted
    code: they run with the rights of this process.

    SIGTERM, Ctrl-C, SIGHUP and SIGQUIT stop it: the server begins nothing new, and
    gives work in progress --stop-timeout to end. A second signal stops at once.

    Exit code 0: stopped as asked; 1: mistakes, an error, or the stop had to be forced; 2: it could not start;
    130: stopped by a second signal.
    """
    from framework.observing import logs
    from framework.process.shutdown import Shutdown

    log = logs.configure(log_format)
    cannot_run = _not_started if log_format == "json" else options.cannot_run
    if no_workers and no_gateway:
        cannot_run("--no-workers and --no-gateway together leave nothing to run")
    with Shutdown(stop_timeout or None) as shutdown, _failures(log_format, cannot_run):
        checked = _checked(folder, host, port, log_format, cannot_run)

        from framework.serving.server import listen, stop_at_eof_of

        _require_trusted(folder)
        if stop_at_eof:
            stop_at_eof_of(0, shutdown)
        listener = None if no_gateway else listen(host, port)
        setup = _Setup(checked.definitions, database, os.path.abspath(folder), listener, not no_workers)
        _run(setup, shutdown, _Logging(log_format, log, not no_access_log), logon_expires)


@contextmanager
def _failures(log_format: str, cannot_run: Callable[[str], NoReturn]) -> Iterator[None]:
    """An error of the start or of the server becomes its message and its exit code."""
    from framework.errors import FrameworkError
    from framework.observing import trace

    try:
        yield
    except BaseException as error:
        place = trace.place(error)
        if place is not None:  # the top level of a module or worker: a mistake in the definitions
            what = {"traceback": trace.text(error)}
            logger.error("not started: %s failed: %s", place, trace.summary(error), extra=what)
            raise SystemExit(1) from None
        if not isinstance(error, FrameworkError):
            if log_format == "json" and isinstance(error, Exception):
                logger.exception("ended by an error of the framework itself")
                raise SystemExit(1) from None
            raise
        cannot_run(str(error))


def _not_started(message: str) -> NoReturn:
    """Log the reason, for machines, and exit with code 2."""
    logger.error("not started: %s", message, extra={"action": "not_started"})
    raise SystemExit(2)


def _checked(
    folder: str, host: str, port: int, log_format: str, cannot_run: Callable[[str], NoReturn]
) -> Checked:
    """The definitions without mistakes. Warnings are shown, and errors stop the start."""
    from framework.definitions import render

    checked = loading.load(folder, host, port, cannot_run)
    if log_format == "json":
        for problem in checked.problems:
            _log(problem)
    elif checked.problems:
        click.echo(render(checked, "text"), err=True)
    if checked.errors:
        message = "not started, the definitions have mistakes"
        if log_format == "json":
            logger.error(message, extra={"action": "not_started"})
        else:
            click.echo(f"framework: {message}", err=True)
        raise SystemExit(1)
    return checked


def _log(problem: Problem) -> None:
    location = problem.location
    logger.log(
        logging.ERROR if problem.severity == "error" else logging.WARNING,
        problem.message,
        extra={
            "action": "definition",
            "code": problem.code,
            "path": location.path,
            "line": location.line,
            "column": location.column,
            "hint": problem.hint,
        },
    )


def _require_trusted(folder: str) -> None:
    """Definitions are code, so others who can change them are refused, or named in the log."""
    from framework.process import files

    files.require_code(folder)
    warning = files.foreign_code(folder)
    if warning is not None:
        logger.warning("%s", warning, extra={"action": "foreign_code"})


@dataclass(frozen=True, slots=True)
class _Setup:
    """What this process serves, and where."""

    definitions: Definitions
    database: str
    folder: str
    listener: socket.socket | None
    workers: bool


@dataclass(frozen=True, slots=True)
class _Logging:
    """What the server prints about itself, and how."""

    format: str
    log: Log | None
    requests: bool

    def access_log(self) -> AccessLog | None:
        from framework.gateway.wire.accesslog import AccessLog

        return AccessLog(self.log, self.format) if self.log is not None and self.requests else None


def _run(setup: _Setup, shutdown: Shutdown, saying: _Logging, logon_expiry: float) -> None:
    from framework.gateway.wire import limits
    from framework.process import eventloop
    from framework.queue.executors import ServerLoop
    from framework.serving.server import serve as serve_definitions

    log = saying.log
    without_waiting = printing.without_waiting(log.write if log is not None else None)
    with ExitStack() as said, without_waiting, shutdown.signals.looping():
        code = eventloop.run(
            serve_definitions(
                setup.definitions,
                url=setup.database,
                folder=setup.folder,
                listener=setup.listener,
                workers=setup.workers,
                started=lambda runtime: _announce(setup, saying, runtime, said),
                shutdown=shutdown,
                logon_expiry=logon_expiry,
                limits=limits.from_environ(),
                access_log=saying.access_log(),
            ),
            ServerLoop,
            left=shutdown.signals.left,
        )
    if code:
        raise SystemExit(code)


def _announce(setup: _Setup, saying: _Logging, runtime: Runtime, said: ExitStack) -> None:
    """Announce that the server runs, and from then on print what scripts qprint. ``said`` waits for it at the end."""
    from framework.storage import examine_access

    access = examine_access(setup.database)
    if access.level != "ok":
        logger.warning("%s", access.message, extra={"action": "exposed"})
    if saying.format == "text":
        printer = runtime.debug.printer(output.to_stdout(), first=_banner(setup, runtime.beside.said))
        said.callback(printer.flush, printing.FLUSH)
    else:
        runtime.debug.listen(_to_log())
        address = ":".join(map(str, setup.listener.getsockname()[:2])) if setup.listener else None
        logger.info("started", extra={"action": "started", "address": address, "database": setup.database})


def _to_log() -> Callable[[str], None]:
    """What scripts qprint goes into the log if that is for machines."""
    logger = logging.getLogger("framework.qprint")
    return lambda text: logger.info(text, extra={"action": "qprint"})


def _banner(setup: _Setup, beside: Sequence[str]) -> str:
    definitions, listener = setup.definitions, setup.listener
    lines = [f"database  {setup.database}"]
    lines += [f"beside    {line}" for line in beside]
    lines += [f"class     {atom.name}" for atom in definitions.atoms]
    lines += [f"module    {module.name}" for module in definitions.modules]
    if setup.workers:
        lines += [f"worker    {worker.name} ({worker.mode})" for worker in definitions.workers]
    if listener is None:
        return "\n".join([*lines, "running the workers, without a gateway; Ctrl-C stops"])
    lines += [f"route     {route.path} ({route.auth_mode})" for route in definitions.routes]
    host, port = listener.getsockname()[:2]
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    lines += ["", f"listening on {base}; Ctrl-C stops. Try it from another terminal:", ""]
    if definitions.routes:
        lines.append("  " + _example(definitions, base, setup.database))
    return "\n".join(lines)


def _example(definitions: Definitions, base: str, database: str) -> str:
    """A curl command to paste. It makes its own token and does not leak it."""
    route = min(definitions.routes, key=lambda route: ("GET" not in str(route.request_script), route.path))
    path = "/".join(part for part in route.path.split("/") if not part.startswith("{")) or "/"
    if route.auth_mode != "axis":
        return f"curl {base}{path}"
    from framework.storage import DEFAULT_URL

    which = "" if database == DEFAULT_URL else f" --database {shlex.quote(database)}"
    return f"{_command()} token{which} --header | curl -H @- {base}{path}"


def _command() -> str:
    """How to call this command from another terminal: by its name only if that finds this very one."""
    own = os.path.abspath(sys.argv[0])
    if os.path.basename(own) != "framework" or not os.access(own, os.X_OK):
        return f"{shlex.quote(sys.executable)} -m framework"
    found = shutil.which("framework")
    if found is not None and os.path.samefile(found, own):
        return "framework"
    near = os.path.relpath(own)
    return shlex.quote(own if near.startswith("..") else near)
