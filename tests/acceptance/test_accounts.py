"""Accounts in real servers: the command beside them, two on one database, guesses, and secrets nowhere."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateway.backend import running

from .server import Answer, Server, run, until

DEFINITIONS = r"""
- name: reader
  authorities: [{regex: '/things(/|$)', methods: [GET]}]
- name: writer
  authorities: [{regex: /things, methods: [POST]}]
---
proxy:
  path: /things/{key}
  authorization: {auth_mode: axis}
request_forbidden_process: |
  logger.info("asked with %s", dict(request.headers))
  qprint(dict(request.headers))
  if request.body == b"fail":
      raise RuntimeError(f"{request!r} {dict(request.headers)}")
  return 200, dict(request.headers)
---
proxy:
  path: /open
  authorization: {auth_mode: none}
request_forbidden_process: |
  return 200, dict(request.headers)
"""

Start = Callable[..., Server]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.yaml").write_text(DEFINITIONS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts servers on one database, and ends them."""
    servers: list[Server] = []

    def make(*options: object) -> Server:
        server = Server(folder / "app", folder, *options)
        servers.append(server)
        return server.ready()

    yield make
    for server in servers:
        server.close()


def account(folder: Path, *arguments: object) -> str:
    """The last line that ``framework account`` prints; it must end well."""
    result = run("account", *arguments, "--database", "sqlite:///orders.db", cwd=folder)
    assert result.code == 0, result
    return result.out.splitlines()[-1]


def log_on(server: Server, key: str) -> Answer:
    return server.request("POST", "/-/logon", token=None, headers={"X-Xaas-Api-Key": key})


def token(server: Server, key: str) -> str:
    answer = log_on(server, key)
    assert answer.code == 200, answer
    return str(answer.json()["token"])


def test_the_whole_way_with_two_servers_on_one_database(folder: Path, start: Start) -> None:
    """What is done by the command, without the folder, holds in both servers within about a second."""
    servers = [start(), start("--no-workers")]
    key = account(folder, "add", "alice", "--role", "reader")
    secrets = [token(server, key) for server in servers]

    def codes(method: str = "GET") -> list[int]:
        return [server.request(method, "/things", token=each).code for server in servers for each in secrets]

    def soon(expected: int, method: str = "GET") -> None:
        until(lambda: set(codes(method)) == {expected}, 10)

    soon(200)
    assert set(codes("POST")) == {403}
    account(folder, "roles", "alice", "--set", "writer")
    soon(403)
    soon(200, "POST")
    account(folder, "roles", "alice", "--add", "reader")
    soon(200)
    account(folder, "disable", "alice")
    soon(401)
    assert {log_on(server, key).code for server in servers} == {401}
    account(folder, "enable", "alice")
    secrets = [token(servers[1], key)]
    soon(200)
    new = account(folder, "rotate", "alice")
    soon(401)
    secrets = [token(servers[0], new)]
    soon(200)
    account(folder, "remove", "alice")
    soon(401)


def test_other_rights_in_the_definitions_act_on_tokens_that_are_out(folder: Path, start: Start) -> None:
    server = start()
    secret = token(server, account(folder, "add", "alice", "--role", "reader"))
    assert server.get("/things", token=secret).code == 200
    assert server.stop() == 0
    changed = DEFINITIONS.replace("methods: [GET]", "methods: [DELETE]")
    (folder / "app" / "app.yaml").write_text(changed, encoding="utf-8")
    server = start()
    assert server.get("/things", token=secret).code == 403
    assert server.request("DELETE", "/things", token=secret).code == 200


def test_a_role_that_was_taken_away_gives_no_right(folder: Path, start: Start) -> None:
    server = start()
    secret = token(server, account(folder, "add", "alice", "--role", "reader"))
    assert server.stop() == 0
    changed = DEFINITIONS.replace("- name: reader", "- name: readers")
    (folder / "app" / "app.yaml").write_text(changed, encoding="utf-8")
    server = start()
    assert server.get("/things", token=secret).code == 403
    listed = run("account", "list", "--database", "sqlite:///orders.db", "--format", "json", cwd=folder)
    assert json.loads(listed.out)[0]["unknown_roles"] == ["reader"]


def test_a_token_expires_when_the_operator_says_so(folder: Path, start: Start) -> None:
    too_short = run("serve", "app", "--logon-expires", "10s", cwd=folder)
    assert (too_short.code, "shorter than 1m" in too_short.err) == (2, True)
    too_long = run("serve", "app", cwd=folder, env={"FRAMEWORK_LOGON_EXPIRES": "31d"})
    assert (too_long.code, "longer than 30d" in too_long.err) == (2, True)
    server = start("--logon-expires", "90s")
    token(server, account(folder, "add", "alice", "--role", "reader"))
    listed = run("token", "list", "--database", "sqlite:///orders.db", "--format", "json", cwd=folder)
    [record] = [record for record in json.loads(listed.out) if record["account"] == "alice"]
    minutes = [time.strptime(record[key][:19], "%Y-%m-%dT%H:%M:%S") for key in ("created_at", "expires_at")]
    assert time.mktime(minutes[1]) - time.mktime(minutes[0]) in (89, 90, 91)


def test_who_guesses_waits_and_a_good_client_keeps_its_pace(folder: Path, start: Start) -> None:
    server = start()
    key = account(folder, "add", "alice", "--role", "reader")
    secret = token(server, key)
    stop = threading.Event()
    answers: list[int] = []

    def guess() -> None:
        while not stop.is_set():
            try:
                answers.append(log_on(server, "x" * 43).code)
            except OSError:
                return  # the server has stopped
            if answers[-1] == 429:
                time.sleep(0.2)  # as a polite client would, else this test is a flood by itself

    guessing = [threading.Thread(target=guess) for _ in range(12)]
    for thread in guessing:
        thread.start()
    try:
        until(lambda: 429 in answers)
        answered_before = answers.count(401)
        began = time.monotonic()
        served = 0
        while time.monotonic() - began < 2:
            assert log_on(server, key).code == 200
            assert server.get("/things", token=secret).code == 200
            served += 1
        answered = answers.count(401) - answered_before
    finally:
        stop.set()
        assert server.stop() == 0, "nobody waits for the guesses that wait"
        for thread in guessing:
            thread.join()
    assert answered < served / 2, f"twelve guessed {answered} times, while one client called {served} times"
    assert "failed logon" in server.err


def test_a_secret_is_nowhere_but_with_its_owner(folder: Path, start: Start) -> None:
    """Not in the log, in a script, an answer, a page, or a file of the database; only its hash is."""
    server = start("--log-format", "json")
    key = account(folder, "add", "marker-account", "--role", "reader", "--role", "writer")
    secret = token(server, key)
    answers = [
        server.get("/things", token=secret),
        server.request("GET", "/things/7", token=None, headers={"Authorization": f"Bearer {secret}"}),
        server.request("POST", "/things", b"fail", token=secret),
        server.request("DELETE", "/things", token=secret),
        server.request("GET", "/things", token=secret + "x"),
        server.request("GET", "/open", token=secret, headers={"X-Xaas-Api-Key": key}),
        server.request("GET", "/nowhere", token=secret),
        server.request("GET", "/things/%ff", token=secret),
        server.request("GET", "/-/logon", token=secret, headers={"X-Xaas-Api-Key": key}),
        server.request("GET", "/-/nothing", token=secret),
        log_on(server, key + "x"),
    ]
    assert [answer.code for answer in answers] == [200, 200, 500, 403, 401, 200, 404, 400, 405, 404, 401]
    shown = "".join(str(answer) for answer in answers)
    for verb in ("account", "token"):
        listed = run(verb, "list", "--database", "sqlite:///orders.db", "--format", "json", cwd=folder)
        shown += listed.out + listed.err
    assert server.stop() == 0
    files = [path for path in folder.rglob("*") if path.is_file()]
    written = {path: path.read_bytes() for path in files}
    everything = b"".join(written.values())
    for seen in (b"asked with", b"Traceback", b"logon_failed", b"marker-account"):
        assert seen in everything, "what was looked at is the log and the database"
    for hidden in (secret, key, secret[:16], key[:16]):
        assert hidden not in shown
        assert not [path for path, content in written.items() if hidden.encode() in content]


def test_a_target_never_sees_our_credentials(folder: Path, start: Start) -> None:
    """Streamed or held by a script, behind a token or open: only what is not ours goes on."""
    with running() as target:
        (folder / "app" / "targets.yaml").write_text(
            f"""
- proxy: {{path: /echo, authorization: {{auth_mode: axis}}}}
  target: {{authorities: ['{target.url}']}}
- proxy: {{path: /echo/open, authorization: {{auth_mode: none}}}}
  target: {{authorities: ['{target.url}']}}
- proxy: {{path: /echo/held, authorization: {{auth_mode: axis}}}}
  target: {{authorities: ['{target.url}']}}
  request_forbidden_process: logger.info("%s", dict(request.headers))
- name: all
  authorities: [{{regex: /, methods: [GET, POST]}}]
""",
            encoding="utf-8",
        )
        server = start()
        key = account(folder, "add", "alice", "--role", "all")
        secret = token(server, key)
        for path in ("/echo", "/echo/open", "/echo/held"):
            for headers in (
                {"X-Auth-Token": secret},
                {"X-Auth-Token": f"{secret} \t"},
                {"X-Auth-Token": secret, "X_Auth_Token": secret, "X_Xaas_Api_Key": key},
                {"Authorization": f"Bearer\t{secret}\t"},
            ):
                sent = {**headers, "X-Xaas-Api-Key": key, "X-Other": "stays"}
                assert server.request("POST", path, b"{}", token=None, headers=sent).code == 200
        theirs = {"X-Auth-Token": "theirs", "Authorization": "Bearer theirs-too"}
        assert server.request("POST", "/echo/open", b"{}", token=None, headers=theirs).code == 200
        *ours, last = target.requests
    assert len(ours) == 12
    for request in ours:
        assert request["headers"]["x-other"] == "stays"
        names = {name.replace("_", "-") for name in request["headers"]}
        assert not {"x-auth-token", "authorization", "x-xaas-api-key"} & names
        assert secret not in str(request)
        assert key not in str(request)
    assert last["headers"]["x-auth-token"] == "theirs"
    assert last["headers"]["authorization"] == "Bearer theirs-too"
    assert secret not in server.err


def test_a_start_without_a_gateway_leaves_the_roles_as_they_are(folder: Path, start: Start) -> None:
    """The workers of another folder may stand beside: what may be called is the gateway's to say."""
    start()
    (folder / "workers").mkdir()
    worker = "name: W\nmode: single\nscript: |\n  async def consume():\n      await asyncio.sleep(0.1)\n"
    (folder / "workers" / "worker.yaml").write_text(worker, encoding="utf-8")
    beside = Server(folder / "workers", folder, "--no-gateway").ready()
    try:
        account(folder, "add", "alice", "--role", "reader")
    finally:
        beside.close()
