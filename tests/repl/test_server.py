"""The REPL joins the server of its database, starts one where there is none, and takes no other."""

from __future__ import annotations

import http.server
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.acceptance.app import app, begun, ended
from tests.acceptance.conftest import Serve
from tests.acceptance.server import COMMAND, REFERENCE_APP, environment, run, until
from tests.repl.conftest import DATABASE, Sit
from tests.repl.terminal import alive, children


def ask(
    folder: Path, url: str, script: str = "1 + 1\n", *options: object, database: str = DATABASE
) -> object:
    return run(
        "repl",
        REFERENCE_APP,
        "--database",
        database,
        "--url",
        url,
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
        f"framework: the server on {server.url} has another database than sqlite:///other.db: "
        "name its database with --database, or another address with --url\n"
    )
    assert done.out == ""


def test_a_copy_of_the_database_is_another_one(serve: Serve, tmp_path: Path) -> None:
    server = serve(REFERENCE_APP)
    assert run("backup", "copy.db", "--database", DATABASE, cwd=tmp_path).code == 0
    done = ask(tmp_path, server.url, database="sqlite:///copy.db")
    assert done.code == 2
    assert "has another database than sqlite:///copy.db" in done.err


def test_no_database_is_made_beside_that_of_the_server(serve: Serve, tmp_path: Path) -> None:
    server = serve(REFERENCE_APP)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = ask(elsewhere, server.url)
    assert done.code == 2
    assert "has another database than sqlite:///orders.db" in done.err
    assert list(elsewhere.iterdir()) == []


@pytest.fixture
def stranger() -> Iterator[str]:
    """Something else that listens, and what it was told."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert "X-Auth-Token" not in self.headers
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
        f"framework: what listens on {stranger} is no `framework serve`: "
        "stop it, or name another address with --url\n"
    )


@pytest.mark.parametrize(
    "url", ["127.0.0.1:9099", "ftp://127.0.0.1", "http://127.0.0.1:9099/v1", "http://h:port"]
)
def test_a_url_that_is_none_is_explained(url: str, tmp_path: Path) -> None:
    done = ask(tmp_path, url)
    assert done.code == 2
    assert "is no server's URL: write http://HOST:PORT" in done.err


def test_the_proof_tells_nothing_to_others(serve: Serve) -> None:
    server = serve(REFERENCE_APP)
    assert server.token  # number 1
    nonce = "0" * 32
    path = f"/-/database?token={{}}&nonce={nonce}"
    there, again = (server.get(path.format(1), token=None).json()["proof"] for _ in range(2))
    none = server.get(path.format(77), token=None).json()["proof"]
    assert there == again
    assert len(none) == len(there)
    for bad in (
        "/-/database",
        path.format("x"),
        path.format("-1"),
        path.format(1) + "00",
        path.format("9" * 30),
    ):
        server.get(bad, token=None).problem()


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
    terminal = sit(url=free_url, folder=definitions).prompt()
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
