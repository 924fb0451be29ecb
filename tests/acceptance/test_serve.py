"""``framework serve``: how it starts, what it says, and why it does not start."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .app import app, route
from .conftest import Serve
from .server import COMMAND, Result, Server, environment, run, until

BROKEN = Path(__file__).parents[1] / "fixtures" / "check" / "broken"


# ---- why it does not start ---------------------------------------------------------------------


def test_mistakes_stop_the_start_and_are_all_shown(tmp_path: Path) -> None:
    definitions = BROKEN / "two-mistakes-in-two-files"
    shutil.copytree(definitions, tmp_path / definitions.name)
    result = run("serve", definitions.name, "--port", 0, cwd=tmp_path)
    assert (result.code, result.out) == (1, "")
    mistakes = [line for line in result.err.splitlines() if ": error " in line]
    assert len({line.partition(":")[0] for line in mistakes}) == 2
    assert "not started" in result.err
    assert not list(tmp_path.glob("*.db*"))


def test_a_missing_folder_is_2(tmp_path: Path) -> None:
    result = run("serve", "nowhere", cwd=tmp_path)
    assert result.code == 2
    assert "nowhere" in result.err
    assert run("serve", cwd=tmp_path).code == 2
    assert "definitions" in run("serve", cwd=tmp_path).err


def test_nothing_to_run_is_2(tmp_path: Path) -> None:
    result = run("serve", app(tmp_path), "--no-workers", "--no-gateway", cwd=tmp_path)
    assert result.code == 2
    assert "--no-gateway" in result.err


def test_a_port_in_use_is_2_and_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("serve", app(tmp_path), "--port", port, cwd=tmp_path)
    assert result.code == 2
    assert f"127.0.0.1:{port}" in result.err
    assert "address already in use" in result.err
    assert "--port" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 65536), ("192.0.2.1", 0), ("no-such-host.invalid", 0)]
)
def test_an_address_that_cannot_be_had_is_2(tmp_path: Path, host: str, port: int) -> None:
    result = run("serve", app(tmp_path), "--host", host, "--port", port, cwd=tmp_path)
    assert result.code == 2
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("orders.db", "sqlite:///"),
        ("mysql://localhost/x", "mysql"),
        ("sqlite:///", "sqlite:///"),
        ("sqlite://", "sqlite:///"),
        ("sqlite:///:memory:", "file"),
        ("sqlite:///no-such-folder/orders.db", "no-such-folder"),
        ("sqlite:///folder", "folder"),
        ("sqlite:///no-database.db", "not an SQLite database"),
        ("sqlite:////proc/orders.db", "/proc/orders.db"),
        ("sqlite:////proc/self/orders.db", "/proc/self"),
    ],
)
def test_a_database_that_cannot_be_opened_is_2_and_named(tmp_path: Path, url: str, said: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "no-database.db").write_text(
        "this is a text, and long enough to be no header of a database" * 20
    )
    result = run("token", "--database", url, cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert "Traceback" not in result.err


def test_serve_does_not_start_without_its_database(tmp_path: Path) -> None:
    url = "sqlite:///no-such-folder/orders.db"
    result = run("serve", app(tmp_path), "--port", 0, "--database", url, cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "no-such-folder" in result.err
    assert "Traceback" not in result.err


# Root may write everywhere; this takes the right to from the command that is started.
_UNPRIVILEGED = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def run_unprivileged(*arguments: object, cwd: Path) -> Result:
    done = subprocess.run(
        [sys.executable, "-c", _UNPRIVILEGED, *COMMAND[1:], *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="takes rights away as Linux does")
@pytest.mark.parametrize(
    ("name", "mode"),
    [("orders.db", 0o444), ("orders.db", 0o000), (".", 0o555)],
    ids=["read", "none", "folder"],
)
def test_a_database_that_cannot_be_written_is_2(tmp_path: Path, name: str, mode: int) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    url = f"sqlite:///{folder}/orders.db"
    assert run_unprivileged("token", "--database", url, cwd=tmp_path).code == 0
    (folder / name).chmod(mode)
    for arguments in (["serve", app(tmp_path), "--port", 0], ["token"]):
        result = run_unprivileged(*arguments, "--database", url, cwd=tmp_path)
        assert (result.code, result.out) == (2, ""), result.err
        assert "database" in result.err
        assert "Traceback" not in result.err
    folder.chmod(0o755)  # so that it can be removed


@pytest.mark.parametrize("what", ["worker", "module"])
def test_a_top_level_that_fails_stops_the_start_at_its_line(tmp_path: Path, what: str) -> None:
    definitions = app(tmp_path)
    text = {
        "worker": "name: W\nmode: multi\nscript: |\n  x = {}\n  x['y']\n  async def consume():\n      pass\n",
        "module": "name: m\ncode: |\n  x = {}\n\n  x['y']\n",
    }[what]
    (definitions / "fails.yaml").write_text(text)
    result = run("serve", definitions, "--port", 0, cwd=tmp_path)
    assert (result.code, result.out) == (1, "")
    assert "definitions/fails.yaml:5" in result.err
    assert "KeyError: 'y'" in result.err
    assert "framework/" not in result.err


def test_tables_that_do_not_fit_stop_the_start_and_lose_nothing(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path)
    server = serve(definitions, "--no-workers")
    server.order("a")
    assert server.stop() == 0
    atom = definitions / "OrderEntry.yaml"
    good = atom.read_text()
    atom.write_text(good.replace("    field_type: object", "    field_type: integer").replace("dict()", "0"))
    result = run("serve", definitions, "--port", 0, "--database", server.database, cwd=tmp_path)
    assert result.code == 2
    assert "OrderEntry" in result.err
    assert "parameters" in result.err
    assert "Traceback" not in result.err
    atom.write_text(good)
    assert [order["parameters"] for order in serve(definitions, "--no-workers").orders()] == [{"name": "a"}]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["broken"], 1, "definitions have mistakes"),
        (["nowhere"], 2, "nowhere"),
        (["definitions", "--no-workers", "--no-gateway"], 2, "--no-gateway"),
        (["definitions", "--port", "PORT"], 2, "address already in use"),
        (["definitions", "--database", "sqlite:///no-such-folder/a.db"], 2, "no-such-folder"),
        (["failing"], 1, "KeyError"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else None,
)
def test_what_stops_a_start_is_json_where_the_log_is(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    app(tmp_path)
    shutil.copytree(BROKEN / "two-mistakes-in-two-files", tmp_path / "broken")
    shutil.copytree(tmp_path / "definitions", tmp_path / "failing")
    (tmp_path / "failing" / "fails.yaml").write_text("name: m\ncode: |\n  {}['x']\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        given = [port if argument == "PORT" else argument for argument in arguments]
        result = run("serve", *(given if "PORT" in arguments else ["--port", "0", *given]),
                     "--log-format", "json", cwd=tmp_path)  # fmt: skip
    assert (result.code, result.out) == (code, "")
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert any(said in line["message"] for line in lines if line["level"] == "error")
    if arguments == ["broken"]:
        assert len({line["path"] for line in lines if line.get("action") == "definition"}) == 2


# ---- what it says ------------------------------------------------------------------------------


def test_the_banner_says_what_runs_and_where(serve: Serve, tmp_path: Path) -> None:
    server = serve(app(tmp_path))
    for part in (
        "OrderEntry",
        "Dispatcher (single)",
        "/v1/orders/{orderId} (axis)",
        server.url,
        server.database,
    ):
        assert part in server.out
    assert server.token not in server.out + server.err


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("database", ["sqlite:///framework.db", "sqlite:///it's $HOME & more.db"])
def test_the_printed_curl_works_as_it_is_pasted(serve: Serve, tmp_path: Path, database: str) -> None:
    server = serve(app(tmp_path), "--no-workers", database=database)
    order_id = server.order("a")
    [command] = [line for line in server.out.splitlines() if " | curl " in line]
    pasted = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=30
    )
    assert pasted.returncode == 0, pasted.stderr
    assert [order["orderId"] for order in json.loads(pasted.stdout)] == [order_id]
    assert "framework token" in command  # it carries no token itself
    before, _, curl = command.partition(" | ")
    assert "--header" in before
    assert "$(" not in curl  # and none on a command line, which everybody on the machine can read


def test_only_the_loopback_is_listened_on_by_default(serve: Serve, tmp_path: Path) -> None:
    server = serve(app(tmp_path))
    port = f"{server.address[1]:04X}"
    listening = [
        line.split()[1]
        for name in ("tcp", "tcp6")
        if (table := Path("/proc/net") / name).exists()
        for line in table.read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port}") and line.split()[3] == "0A"
    ]
    assert listening == [f"0100007F:{port}"]


def test_every_line_of_the_json_log_is_an_object(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path, work="qprint(entry.yaml_format)\nlogger.warning('two\\nlines %s', 'é')")
    (definitions / "fails.yaml").write_text(route("/fails", "return 1 / 0"))
    (definitions / "broken.yaml").write_text(
        "name: Broken\nmode: multi\nscript: |\n  async def consume():\n      raise RuntimeError('always')\n"
    )
    server = serve(definitions, "--log-format", "json")
    server.order("a")
    error_id = server.get("/fails", token=None).problem()["id"]
    until(lambda: server.statuses() == ["done"])
    until(lambda: "Broken failed" in server.err)
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.err.splitlines()]
    for line in lines:
        assert {"time", "level", "logger", "message"} <= set(line)
    assert server.out == ""
    by_action = {line.get("action"): line for line in lines}
    assert by_action["request_error"]["error_id"] == error_id
    assert by_action["worker_error"]["worker"] == "Broken"
    assert by_action["qprint"]["message"].startswith("OrderEntry:\n  instance: ")
    assert "two\nlines é" in [line["message"] for line in lines]
    assert by_action["started"]["address"] == "{}:{}".format(*server.address)


def test_a_broken_request_line_is_refused_and_the_server_lives(serve: Serve, tmp_path: Path) -> None:
    server = serve(app(tmp_path), "--no-workers")
    for raw in (
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/orders/%ff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/orders/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[::1/v1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
    ):
        assert_refused(server, raw)
    assert server.get("/-/ready", token=None).code == 200
    assert "Traceback" not in server.err


def assert_refused(server: Server, raw: bytes) -> None:
    """A 4xx, or the connection is closed without an answer; never a 5xx or a 2xx."""
    with socket.create_connection(server.address, timeout=5) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
    assert not answer or answer.startswith(b"HTTP/1.1 4"), (raw, answer)
