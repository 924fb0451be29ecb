"""The other commands: help, check, token and call."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from .app import app, route
from .conftest import Serve
from .server import COMMAND, REFERENCE_APP, Server, environment, run, until

CHECK = Path(__file__).parents[1] / "fixtures" / "check"
HEAVY = {"sqlalchemy", "aiohttp", "uvicorn", "aiosqlite", "starlette", "uvloop", "jsonschema"}


def imported(*arguments: object, cwd: Path) -> tuple[int, set[str]]:
    """The exit code, and the top-level modules that the command imported."""
    import subprocess

    command = [COMMAND[0], "-X", "importtime", *COMMAND[1:], *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=60)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return done.returncode, {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["--version"], ["serve", "--help"], ["call", "--help"]]
)
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    code, modules = imported(*arguments, cwd=tmp_path)
    assert code == 0
    assert "click" in modules  # the list is not empty for another reason
    assert not modules & HEAVY


def test_check_opens_no_database_and_imports_no_server(tmp_path: Path) -> None:
    code, modules = imported("check", REFERENCE_APP, cwd=tmp_path)
    assert code == 0
    assert "yaml" in modules
    assert not modules & {"aiohttp", "uvicorn", "sqlalchemy", "aiosqlite"}
    assert not list(tmp_path.iterdir())


def test_every_command_has_a_help_that_names_its_options(tmp_path: Path) -> None:
    overview = run("--help", cwd=tmp_path)
    assert overview.code == 0
    listed = overview.out.partition("Commands:\n")[2].partition("\n\n")[0]
    commands = [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "]
    assert {"call", "check", "serve", "token"} <= set(commands)
    for command in commands:
        result = run(command, "--help", cwd=tmp_path)
        assert (result.code, result.err) == (0, "")
        assert f"framework {command}" in result.out
        assert "--help" in result.out


@pytest.mark.parametrize("arguments", [["nonsense"], ["serve", "--nonsense"], ["call"], ["call", "GET"]])
def test_wrong_usage_is_2(tmp_path: Path, arguments: list[str]) -> None:
    result = run(*arguments, cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "Usage:" in result.err


# ---- check -------------------------------------------------------------------------------------


def test_check_is_0_without_mistakes(tmp_path: Path) -> None:
    result = run("check", REFERENCE_APP, cwd=tmp_path)
    assert (result.code, result.err) == (0, "")
    shutil.copytree(REFERENCE_APP, tmp_path / "definitions")
    assert run("check", cwd=tmp_path).code == 0


def test_check_is_1_with_mistakes_in_every_format(tmp_path: Path) -> None:
    folder = CHECK / "broken" / "misspelt-key"
    text = run("check", folder.name, cwd=folder.parent)
    assert text.code == 1
    assert text.out == (folder / "expected.txt").read_text()
    found = run("check", folder.name, "--format", "json", cwd=folder.parent)
    assert found.code == 1
    assert json.loads(found.out)
    github = run("check", folder.name, "--format", "github", cwd=folder.parent)
    assert github.code == 1
    assert github.out.startswith("::error ")


def test_a_warning_counts_only_with_strict(tmp_path: Path) -> None:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "put.yaml").write_text(route("/put", "await FIFO('unread').put(1)\nreturn 202, None"))
    warned = run("check", cwd=tmp_path)
    assert warned.code == 0
    assert "warning fifo-unread" in warned.out
    assert run("check", "--strict", cwd=tmp_path).code == 1


def test_check_is_2_when_it_could_not_run(tmp_path: Path) -> None:
    result = run("check", "nowhere", cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "nowhere" in result.err


# ---- token -------------------------------------------------------------------------------------


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> Server:
    return serve(app(tmp_path), "--no-workers")


def test_a_token_is_printed_alone_and_works_at_once(server: Server) -> None:
    result = run("token", "--database", server.database, cwd=server.folder)
    assert (result.code, result.err) == (0, "")
    token = result.out.removesuffix("\n")
    assert result.out == f"{token}\n"
    assert len(token) >= 43  # 256 bits
    assert not set(token) & set(" \n\t'\"$")
    assert server.get("/v1/orders", token=token).code == 200
    for wrong in (token[:-1], token + "x", token.swapcase(), "x" * 5000):
        assert server.get("/v1/orders", token=wrong).code == 401
    again = run("token", "--database", server.database, cwd=server.folder).out.strip()
    assert again != token
    for line in [*server.out.splitlines(), *server.err.splitlines()]:
        assert token not in line
    for file in filter(Path.is_file, server.folder.glob("orders.db*")):
        assert token.encode() not in file.read_bytes()


def test_an_expired_token_is_refused(server: Server) -> None:
    made = run("token", "--expires", "5s", "--database", server.database, cwd=server.folder)
    token = made.out.strip()
    assert server.get("/v1/orders", token=token).code == 200
    until(lambda: server.get("/v1/orders", token=token).code == 401, 10)


@pytest.mark.parametrize(
    "expires", ["0", "0s", "-1h", "1x", "soon", "", "1e9", "99999999999d", "999999999d", "3651d"]
)
def test_what_is_no_duration_is_2(tmp_path: Path, expires: str) -> None:
    result = run("token", "--expires", expires, cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert not list(tmp_path.iterdir())


def test_a_duration_that_is_too_long_says_what_the_most_is(tmp_path: Path) -> None:
    assert "3650d" in run("token", "--expires", "999999999d", cwd=tmp_path).err
    assert run("token", "--expires", "3650d", cwd=tmp_path).code == 0
    assert run("token", "list", cwd=tmp_path).code == 0


def test_a_token_whose_time_no_calendar_has_is_listed(tmp_path: Path) -> None:
    assert run("token", cwd=tmp_path).code == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "framework.db")) as database, database:
        [(table,)] = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%expires_at%'"
        )
        database.execute(f"UPDATE {table} SET expires_at = 1e15")
    listed = run("token", "list", cwd=tmp_path)
    assert (listed.code, listed.err) == (0, "")
    assert "1e+15" in listed.out


def test_a_revoked_token_is_refused_soon(server: Server) -> None:
    token, other = server.token, run("token", "--database", server.database, cwd=server.folder).out.strip()
    assert server.get("/v1/orders").code == 200  # it is known, and believed for a moment
    database = ["--database", server.database]
    listed = run("token", "list", "--format", "json", *database, cwd=server.folder)
    assert listed.code == 0
    records = json.loads(listed.out)
    assert [record["valid"] for record in records] == [True, True]
    assert all({"id", "account", "created_at", "expires_at"} <= set(record) for record in records)
    assert token not in listed.out

    revoked = run("token", "revoke", records[0]["id"], *database, cwd=server.folder)
    assert revoked.code == 0
    until(lambda: server.get("/v1/orders", token=token).code == 401, 1.5)
    assert server.get("/v1/orders", token=other).code == 200
    assert run("token", "revoke", records[0]["id"], *database, cwd=server.folder).code == 1
    assert run("token", "revoke", "x", *database, cwd=server.folder).code == 2
    # The database may also be named before the verb.
    left = run("token", *database, "list", "--format", "json", cwd=server.folder)
    assert [record["id"] for record in json.loads(left.out)] == [records[1]["id"]]


def test_the_list_of_no_tokens_says_how_to_make_one(tmp_path: Path) -> None:
    assert "framework.db" in run("token", cwd=tmp_path).err, (
        "a database that was not there is made, and said to be"
    )
    assert run("token", "revoke", "1", cwd=tmp_path).code == 0
    assert run("token", "list", "--format", "json", cwd=tmp_path).out.strip() == "[]"
    assert "framework token" in run("token", "list", cwd=tmp_path).out


# ---- call --------------------------------------------------------------------------------------


def test_call_asks_a_running_server(server: Server) -> None:
    where = ["--url", server.url, "--database", server.database]
    made = run("call", "POST", "/v1/orders", "--body", '{"name": "é"}', *where, cwd=server.folder)
    assert (made.code, made.err) == (0, "202\n")
    order = json.loads(made.out)
    assert order["parameters"] == {"name": "é"}
    piped = run(
        "call", "post", "/v1/orders/", "--body", "-", *where, cwd=server.folder, stdin='{"name": "b"}'
    )
    assert piped.code == 0
    listed = run("call", "GET", "/v1/orders", *where, cwd=server.folder)
    assert json.loads(listed.out) == [order, json.loads(piped.out)]

    refused = run("call", "GET", "/nowhere", *where, cwd=server.folder)
    assert (refused.code, refused.err) == (1, "404\n")
    assert json.loads(refused.out)["status"] == 404
    assert run("call", "POST", "/v1/orders", "--body", "{", *where, cwd=server.folder).code == 1
    # a token that is given counts, a wrong one too
    wrong = run("call", "GET", "/v1/orders", *where, cwd=server.folder, env={"FRAMEWORK_TOKEN": "wrong"})
    assert (wrong.code, wrong.err) == (1, "401\n")


@pytest.mark.parametrize(
    "arguments", [["GET", "/a"], ["G T", "/a"], ["GET", "a"], ["GET", "/a", "--body", "x"]]
)
def test_call_is_2_when_nothing_answers(tmp_path: Path, arguments: list[str]) -> None:
    result = run("call", *arguments, "--url", "http://127.0.0.1:1", cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "Traceback" not in result.err


def test_call_says_where_it_looked(tmp_path: Path) -> None:
    result = run(
        "call", "GET", "/a", "--url", "http://127.0.0.1:1", cwd=tmp_path, env={"FRAMEWORK_TOKEN": "t"}
    )
    assert "http://127.0.0.1:1" in result.err
    assert "framework serve" in result.err


@pytest.mark.parametrize("command", [("call", "GET", "/a"), ("token", "list"), ("token", "revoke", "1")])
def test_only_serve_and_token_make_a_database(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = run(*command, cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "there is no database framework.db" in result.err
    assert not list(tmp_path.iterdir())


def test_the_database_may_come_from_the_environment(serve: Serve, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    server = serve(app(tmp_path), "--no-workers", database=url)
    env = {"FRAMEWORK_DATABASE": url}
    elsewhere = tmp_path / "cwd"
    elsewhere.mkdir()
    token = run("token", cwd=elsewhere, env=env).out.strip()
    assert server.get("/v1/orders", token=token).code == 200
    assert run("call", "GET", "/v1/orders", "--url", server.url, cwd=elsewhere, env=env).code == 0
    assert len(json.loads(run("token", "list", "--format", "json", cwd=elsewhere, env=env).out)) == 1, (
        "call makes none"
    )
    assert not list(elsewhere.iterdir())
    # What is given wins.
    other = run("token", "--database", f"sqlite:///{tmp_path}/other.db", cwd=elsewhere, env=env).out.strip()
    assert server.get("/v1/orders", token=other).code == 401
