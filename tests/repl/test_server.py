"""The REPL joins the server of its database, starts one where there is none, and takes no other."""

from __future__ import annotations

import http.server
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.acceptance.app import app, begun, ended
from tests.acceptance.conftest import Serve
from tests.acceptance.server import COMMAND, REFERENCE_APP, Result, environment, run, until
from tests.repl.conftest import DATABASE, Sit
from tests.repl.terminal import alive, children


def ask(
    folder: Path, url: str | None, script: str = "1 + 1\n", *options: object, database: str = DATABASE
) -> Result:
    return run(
        "repl",
        REFERENCE_APP,
        "--database",
        database,
        *(() if url is None else ("--url", url)),
        *options,
        cwd=folder,
        stdin=script,
        env={"XDG_STATE_HOME": str(folder / "state")},
    )


# ---- joining --------------------------------------------------------------------------------


def test_it_joins_the_server_that_runs(serve: Serve, sit: Sit) -> None:
    server = serve(REFERENCE_APP)
    terminal = sit(url=server.url).prompt()
    assert f"framework: joined the server on {server.url}" in terminal.lines()
    server.order("seen")
    shown = terminal.run("[order.parameters for order in await atom.OrderEntry.retrieve()]")
    assert shown == ["[{'name': 'seen'}]"]
    terminal.send("\x04")
    assert terminal.wait() == 0
    assert server.get("/-/ready").code == 200  # it is not ours, and runs on


def test_it_leaves_no_token_behind(serve: Serve, tmp_path: Path) -> None:
    server = serve(REFERENCE_APP)
    done = ask(tmp_path, server.url, "(await callout('/v1/orders/')).code\n")
    assert done.out == "200\n"
    listed = run("token", "list", "--database", DATABASE, cwd=tmp_path)
    assert "no tokens" in listed.out


def test_two_sessions_at_one_server_both_see_everything(serve: Serve, sit: Sit, tmp_path: Path) -> None:
    definitions = app(tmp_path, work="qprint(entry)")
    server = serve(definitions)
    both = [sit(url=server.url, folder=definitions, term=term).prompt() for term in ("xterm", "dumb")]
    for terminal in both:
        terminal.run("debug()")
    orders = [server.order(f"order{number}") for number in range(5)]
    both[0].run("qprint('from the other one')")
    for terminal in both:
        for order in orders:
            terminal.see(f"orderId: {order}")
        terminal.see("from the other one")
        names = [line.strip() for line in terminal.lines() if line.startswith("    name: order")]
        assert names == [f"name: order{number}" for number in range(5)]


def test_a_stopped_session_does_not_slow_the_worker(serve: Serve, sit: Sit, tmp_path: Path) -> None:
    definitions = app(tmp_path, work="for n in range(500): qprint('x' * 2000)")
    server = serve(definitions)
    terminal = sit(url=server.url, folder=definitions).prompt()
    terminal.run("debug()")
    terminal.signal(signal.SIGSTOP)
    for number in range(10):  # ten megabytes, which no buffer of the system takes
        server.order(f"order{number}")
    until(lambda: len(ended(tmp_path)) == 10)
    assert begun(tmp_path) == [f"order{number}" for number in range(10)]  # none of them a second time
    terminal.signal(signal.SIGCONT)
    terminal.prompt()


# ---- refusing -------------------------------------------------------------------------------


def test_a_server_with_another_database_is_refused(serve: Serve, tmp_path: Path) -> None:
    server = serve(REFERENCE_APP)
    assert run("token", "--database", "sqlite:///other.db", cwd=tmp_path).code == 0
    done = ask(tmp_path, server.url, database="sqlite:///other.db")
    assert done.code == 2
    assert done.err == (
        f"framework: what listens on {server.url} is not a server of sqlite:///other.db: "
        "name that server's database with --database, or another address with --url\n"
    )
    assert done.out == ""


def test_a_copy_of_the_database_is_another_one(serve: Serve, tmp_path: Path) -> None:
    server = serve(REFERENCE_APP)
    assert run("backup", "copy.db", "--database", DATABASE, cwd=tmp_path).code == 0
    done = ask(tmp_path, server.url, database="sqlite:///copy.db")
    assert done.code == 2
    assert "is not a server of sqlite:///copy.db" in done.err


def test_no_database_is_made_beside_that_of_the_server(serve: Serve, tmp_path: Path) -> None:
    server = serve(REFERENCE_APP)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = ask(elsewhere, server.url)
    assert done.code == 2
    assert "is not a server of sqlite:///orders.db" in done.err
    assert list(elsewhere.iterdir()) == []


@pytest.fixture
def stranger() -> Iterator[str]:
    """Something else that listens, and what it was told."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_something_else_that_listens_is_refused(stranger: str, tmp_path: Path) -> None:
    run("token", "--database", DATABASE, cwd=tmp_path)  # there is a database
    done = ask(tmp_path, stranger)
    assert done.code == 2
    assert done.err == (
        f"framework: what listens on {stranger} is not a server of {DATABASE}: "
        "name that server's database with --database, or another address with --url\n"
    )


@pytest.mark.parametrize(
    "url", ["127.0.0.1:9099", "ftp://127.0.0.1", "http://127.0.0.1:9099/v1", "http://h:port"]
)
def test_a_url_that_is_none_is_explained(url: str, tmp_path: Path) -> None:
    done = ask(tmp_path, url)
    assert done.code == 2
    assert "is not the URL of a server: write http://HOST:PORT" in done.err


# ---- starting one ---------------------------------------------------------------------------


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_it_starts_a_server_and_ends_it_when_left(sit: Sit, free_url: str, tmp_path: Path, term: str) -> None:
    terminal = sit(url=free_url, term=term).prompt()
    assert terminal.lines()[0].startswith(f"framework: no server runs on {free_url}: starting one")
    child = terminal.child()
    with urlopen(f"{free_url}/-/ready") as answer:
        assert answer.status == 200
    log = tmp_path / "state" / "framework" / f"server-127.0.0.1-{free_url.rpartition(':')[2]}.log"
    assert "listening on" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    assert "listening on" not in terminal.text()
    terminal.send("\x04")
    assert terminal.wait() == 0
    assert not alive(child)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_server_ends_also_when_the_session_is_killed(
    sit: Sit, free_url: str, number: signal.Signals
) -> None:
    terminal = sit(url=free_url).prompt()
    child = terminal.child()
    terminal.signal(number)
    terminal.wait()
    if number != signal.SIGKILL:  # nobody can put a terminal in order then
        modes = termios.tcgetattr(terminal.process.child_fd)[3]
        assert modes & termios.ECHO
        assert modes & termios.ICANON
    until(lambda: not alive(child))


@pytest.mark.parametrize("term", ["xterm", "dumb"])
@pytest.mark.parametrize(
    "typed", ["", "for n in range(3):\r  ", "await asyncio.sleep(60)\r", "while True: pass\r\r"]
)
def test_it_ends_when_its_terminal_goes_without_a_signal(
    free_url: str, tmp_path: Path, term: str, typed: str
) -> None:
    """As when a terminal's program dies that was not the session's own: nobody is sent a SIGHUP."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "repl", REFERENCE_APP, "--database", DATABASE, "--url", free_url],
        cwd=tmp_path,
        env=environment({"TERM": term, "XDG_STATE_HOME": str(tmp_path / "state")}),
        stdin=its,
        stdout=its,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(its)
    try:
        shown = b""
        while b">>>" not in shown:
            shown += os.read(ours, 65536)
        child = children(process.pid)[0]
        os.write(ours, typed.encode())
        time.sleep(0.3)  # it waits, or computes
        os.close(ours)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 128 + signal.SIGHUP
        assert b"Traceback" not in said
        until(lambda: not alive(child))
    finally:
        process.kill()
        process.wait()


def test_a_statement_that_computes_is_stopped_by_sigterm(sit: Sit, free_url: str) -> None:
    terminal = sit(url=free_url).prompt()
    child = terminal.child()
    terminal.line("print('begun'); [n for n in range(10**12)]")
    until(lambda: "begun" in terminal.lines(), what=terminal.text)
    terminal.signal(signal.SIGTERM)
    assert terminal.wait() == 128 + signal.SIGTERM
    until(lambda: not alive(child))


def test_a_server_that_a_script_blocks_ends_too(sit: Sit, free_url: str, tmp_path: Path) -> None:
    definitions = app(tmp_path, work="while True: pass")
    terminal = sit(url=free_url, folder=definitions, env={"FRAMEWORK_STOP_TIMEOUT": "0.5"}).prompt()
    child = terminal.child()
    terminal.run("r = await callout(path='/v1/orders/', method=POST, body={'name': 'x'})")
    until(lambda: begun(tmp_path) == ["x"])
    terminal.signal(signal.SIGKILL)
    until(lambda: not alive(child), 40.0)


def test_ctrl_c_does_not_stop_the_server(sit: Sit, free_url: str) -> None:
    terminal = sit(url=free_url, term="dumb").prompt()
    child = terminal.child()
    terminal.line("print('begun'); await asyncio.sleep(60)")
    until(lambda: "begun" in terminal.lines(), what=terminal.text)
    terminal.interrupt()
    assert terminal.run("(await callout('/v1/orders/')).code") == ["200"]
    assert alive(child)


def test_why_a_server_does_not_start_is_shown(free_url: str, tmp_path: Path) -> None:
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "worker.yaml").write_text(
        "name: Broken\nmode: single\nscript: |\n  import os\n  if os.environ.get('FRAMEWORK_SETTING_GO') is None:\n"
        "      raise RuntimeError('no setting')\n  async def run():\n      pass\n"
    )
    done = run(
        "repl", "--url", free_url, cwd=tmp_path, stdin="1\n", env={"XDG_STATE_HOME": str(tmp_path / "state")}
    )
    assert done.code == 2
    assert "framework: the server did not start:" in done.err
    assert "RuntimeError: no setting" in done.err
    assert os.listdir(tmp_path / "state" / "framework")


def test_a_folder_named_like_the_framework_is_not_taken_for_it(free_url: str, tmp_path: Path) -> None:
    (tmp_path / "framework").mkdir()
    (tmp_path / "framework" / "__init__.py").write_text("raise RuntimeError('not me')")
    command = Path(sys.executable).with_name("framework")
    done = subprocess.run(
        [command, "repl", REFERENCE_APP, "--url", free_url],
        cwd=tmp_path,
        env=environment({"XDG_STATE_HOME": str(tmp_path / "state")}),
        input="1 + 1\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


def test_mistakes_in_the_definitions_stop_it_before_anything_starts(free_url: str, tmp_path: Path) -> None:
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "worker.yaml").write_text("name: Broken\nmode: often\nscript: |\n  pass\n")
    done = run("repl", "--url", free_url, cwd=tmp_path, stdin="1\n")
    assert done.code == 1
    assert "worker.yaml:2:7: error" in done.err
    assert not (tmp_path / "framework.db").exists()


def test_a_module_that_fails_is_told_with_its_place(serve: Serve, tmp_path: Path) -> None:
    server = serve(REFERENCE_APP)
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "tools.yaml").write_text("name: tools\ncode: |\n  x = 1\n  1 / 0\n")
    done = run("repl", "--database", DATABASE, "--url", server.url, cwd=tmp_path, stdin="1\n")
    assert done.code == 1
    assert "framework: not started: definitions/tools.yaml:4 in <module> failed" in done.err
    assert "ZeroDivisionError" in done.err


# ---- nothing that nobody asked for ----------------------------------------------------------


def stopped_with_items(serve: Serve, tmp_path: Path, number: int = 2) -> Path:
    """A stopped installation with waiting orders, and its definitions."""
    definitions = app(tmp_path, work="pass")
    server = serve(definitions, "--no-workers")
    for order in range(number):
        server.order(f"order{order}")
    assert server.stop() == 0
    return definitions


def waiting(tmp_path: Path) -> int:
    found = run("fifo", "show", "orders", "--format", "json", "--database", DATABASE, cwd=tmp_path)
    return int(json.loads(found.out)["length"])


def opened(tmp_path: Path, definitions: Path, url: str, *options: object) -> Result:
    """A session with a script that looks, and gives workers the time that they would need."""
    look = "await asyncio.sleep(2)\n(await callout('/v1/orders')).code\n"
    return run(
        *("repl", definitions, "--database", DATABASE, "--url", url, *options),
        cwd=tmp_path,
        stdin=look,
        env={"XDG_STATE_HOME": str(tmp_path / "state")},
    )


def test_a_script_is_refused_where_its_workers_would_take_what_waits(
    serve: Serve, free_url: str, tmp_path: Path
) -> None:
    definitions = stopped_with_items(serve, tmp_path)
    done = opened(tmp_path, definitions, free_url)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"framework: no server runs on {DATABASE}, and items wait in orders (2): with --workers a server is "
        "started that takes them, with --no-workers one that leaves them\n"
    )
    assert begun(tmp_path) == []

    done = opened(tmp_path, definitions, free_url, "--no-workers")
    assert (done.code, done.out) == (0, "200\n"), done.err
    assert "starting one without workers" in done.err
    assert begun(tmp_path) == []
    assert waiting(tmp_path) == 2

    done = opened(tmp_path, definitions, free_url, "--workers")
    assert (done.code, done.out) == (0, "200\n"), done.err
    assert begun(tmp_path) == ["order0", "order1"]


def test_an_item_that_was_in_work_when_its_server_died_counts_as_waiting(
    serve: Serve, free_url: str, tmp_path: Path
) -> None:
    definitions = app(tmp_path, work="await asyncio.sleep(60)")
    server = serve(definitions)
    server.order("hanging")
    until(lambda: begun(tmp_path) == ["hanging"])
    server.kill()
    done = opened(tmp_path, definitions, free_url)
    assert done.code == 2
    assert "items wait in orders (1)" in done.err


@pytest.mark.parametrize(("answer", "taken"), [("n", []), ("", []), ("y", ["order0", "order1"])])
def test_somebody_at_a_terminal_is_asked(
    serve: Serve, sit: Sit, free_url: str, tmp_path: Path, answer: str, taken: list[str]
) -> None:
    definitions = stopped_with_items(serve, tmp_path)
    terminal = sit(url=free_url, folder=definitions)
    terminal.see("Start the workers, which take them? [y/N]")
    assert begun(tmp_path) == []
    terminal.send(f"{answer}\r")
    terminal.prompt()
    if taken:
        until(lambda: ended(tmp_path) == taken)
    else:
        assert terminal.run("(await callout('/v1/orders')).code") == ["200"]
        assert (begun(tmp_path), waiting(tmp_path)) == ([], 2)


def test_who_leaves_at_the_question_has_started_nothing(
    serve: Serve, sit: Sit, free_url: str, tmp_path: Path
) -> None:
    definitions = stopped_with_items(serve, tmp_path)
    terminal = sit(url=free_url, folder=definitions)
    terminal.see("[y/N]")
    terminal.send("\x03")
    assert terminal.wait() == 1
    assert waiting(tmp_path) == 2


@pytest.mark.parametrize("other", ["class", "column"])
def test_nothing_is_added_to_the_database_of_other_definitions(
    serve: Serve, free_url: str, tmp_path: Path, other: str
) -> None:
    server = serve(REFERENCE_APP)
    assert server.stop() == 0
    before = schema(tmp_path)
    assert "OrderEntry" in str(before)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    name = "Tea" if other == "class" else "OrderEntry"
    (elsewhere / "tea.yaml").write_text(
        f"name: {name}\nattributes:\n  identifier: {{field_name: orderId, field_type: string}}\n"
        "  local_fields:\n  - {field_name: sugar, field_type: integer}\n"
    )
    for running in (False, True):
        url = free_url
        if running:
            url = serve(REFERENCE_APP).url
        done = opened(tmp_path, elsewhere, url, "--workers")
        assert (done.code, done.out) == (2, "")
        assert f"{DATABASE} lacks " in done.err
        assert "Name the folder of its definitions" in done.err
        assert schema(tmp_path) == before


def schema(tmp_path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(tmp_path / "orders.db")) as connection:
        return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_without_a_url_it_joins_the_server_of_its_database_wherever_that_listens(
    serve: Serve, tmp_path: Path
) -> None:
    serve(REFERENCE_APP)
    done = ask(tmp_path, None, "(await callout('/v1/orders')).code\n")
    assert (done.code, done.out) == (0, "200\n"), done.err
