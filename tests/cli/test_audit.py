"""``framework audit``: each verb that changes something leaves a line with the change, and no other does."""

from __future__ import annotations

import getpass
import json
import os
import pwd
import re
import socket
from typing import Any

import pytest

from framework.access import accounts
from framework.definitions import Location, RoleDefinition
from framework.definitions.role import Authority
from tests.acceptance.server import until

from .conftest import Database, Work

PLACE = Location("roles.yaml", 1, 1)


def audit(database: Database, *arguments: object) -> list[dict[str, Any]]:
    result = database.invoke("audit", "--format", "json", *arguments)
    assert result.code == 0, result
    return list(json.loads(result.out))


def done(database: Database) -> list[tuple[str, str | None, dict[str, Any], int | None]]:
    return [(one["action"], one["target"], one["arguments"], one["affected"]) for one in audit(database)]


def test_each_verb_on_a_fifo_is_recorded_and_no_payload_is(database: Database) -> None:
    database.put("orders", *range(6))
    for _ in range(3):
        database.bury("orders")
    [first, *_] = database.dead()
    for arguments in (
        ("pause", "orders"),
        ("resume", "orders"),
        ("retry", "orders"),
        ("skip", "orders"),
        ("drop", "orders", 5),
        ("put", "orders", '{"secret": "payload"}'),
        ("dead", "redrive", first.id),
        ("dead", "redrive", "--all", "orders"),
        ("purge", "orders", "--yes"),
        ("dead", "purge", "--all", "orders", "--yes"),
    ):
        result = database.invoke("fifo", *arguments)
        assert result.code == 0, result
    assert done(database) == [
        ("fifo pause", "orders", {}, None),
        ("fifo resume", "orders", {}, None),
        ("fifo retry", "orders", {}, None),
        ("fifo skip", "orders", {}, None),
        ("fifo drop", "orders", {"item": 5}, None),
        ("fifo put", "orders", {"item": 7}, None),
        ("fifo dead redrive", "orders", {"letter": first.id}, 1),
        ("fifo dead redrive", "orders", {}, 3),
        ("fifo purge", "orders", {}, 6),
        ("fifo dead purge", "orders", {}, 0),
    ]
    assert "payload" not in database.invoke("audit", "--format", "json").out
    [one] = audit(database, "--limit", 1)
    assert (one["user"], one["host"]) == (pwd.getpwuid(os.geteuid()).pw_name, socket.gethostname())


def test_who_it_was_is_the_systems_word_and_not_that_of_the_environment(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "mallory")
    monkeypatch.setenv("LOGNAME", "mallory")
    assert getpass.getuser() == "mallory"
    database.put("orders", 1)
    database.invoke("fifo", "pause", "orders")
    assert audit(database)[0]["user"] != "mallory"


@pytest.mark.parametrize(
    "verb",
    [
        ("fifo", "pause", "other"),
        ("fifo", "skip", "orders"),
        ("fifo", "drop", "orders", 9),
        ("fifo", "purge", "orders"),
        ("fifo", "put", "orders", "no json"),
        ("fifo", "dead", "redrive", 3),
        ("fifo", "ls"),
        ("fifo", "show", "orders"),
        ("token", "list"),
        ("token", "revoke", 7),
        ("account", "add", "alice", "--role", "none"),
        ("account", "disable", "bob"),
    ],
    ids=lambda verb: "-".join(map(str, verb)),
)
def test_what_is_refused_and_what_only_reads_leaves_no_record(
    database: Database, verb: tuple[object, ...]
) -> None:
    database.put("orders", 1)
    database.use(lambda storage: storage.write([]))
    database.invoke("fifo", "drop", "orders", 1)
    before = audit(database)
    database.invoke(*verb)
    assert audit(database) == before


def test_accounts_and_tokens_are_recorded_without_their_secrets(database: Database) -> None:
    reader = RoleDefinition("reader", PLACE, (Authority(re.compile("/v1"), ("GET", "HEAD"), PLACE),))
    database.use(lambda storage: accounts.record_roles(storage, [reader]))
    secrets = []
    for arguments in (
        ("account", "add", "alice", "--role", "reader"),
        ("account", "rotate", "alice"),
        ("account", "disable", "alice"),
        ("account", "enable", "alice"),
        ("account", "roles", "alice", "--remove", "reader"),
        ("account", "roles", "alice"),
        ("account", "remove", "alice"),
        ("token", "--expires", "90m"),
        ("token", "revoke", 1),
    ):
        where = (
            ("token", "--database", database.url, *arguments[1:]) if arguments[0] == "token" else arguments
        )
        result = database.invoke(*arguments) if where is arguments else _invoke(where)
        assert result.code == 0, result
        secrets += [line for line in result.out.splitlines() if len(line) == 43]
    assert done(database) == [
        ("account add", "alice", {"roles": ["reader"]}, None),
        ("account rotate", "alice", {}, None),
        ("account disable", "alice", {}, None),
        ("account enable", "alice", {}, None),
        ("account roles", "alice", {"roles": []}, None),
        ("account remove", "alice", {}, None),
        ("token", None, {"expires": "90m"}, None),
        ("token revoke", "1", {}, None),
    ]
    assert len(secrets) == 3
    shown = database.invoke("audit").out
    assert not any(secret in shown for secret in secrets)


def _invoke(arguments: tuple[object, ...]) -> Any:
    from click.testing import CliRunner

    from framework.cli import main
    from tests.acceptance.server import Result

    result = CliRunner().invoke(main, [*map(str, arguments)])
    return Result(result.exit_code, result.stdout, result.stderr)


def test_a_running_server_logs_what_an_operator_does_in_another_process(work: Work) -> None:
    work.database.put("orders", *({"n": n} for n in range(2)))
    server = work.start()
    work.database.run("fifo", "pause", "orders")
    until(lambda: "fifo pause orders" in server.err)
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert f"{user} on {socket.gethostname()}: fifo pause orders" in server.err


def test_the_newest_are_shown_the_newest_last_and_of_a_time(database: Database) -> None:
    assert "nothing is recorded yet" in database.invoke("audit").out
    database.put("orders", 1)
    for verb in ("pause", "resume", "retry"):
        database.invoke("fifo", verb, "orders")
    assert [one["action"] for one in audit(database, "--limit", 2)] == ["fifo resume", "fifo retry"]
    assert len(audit(database, "--since", "1h")) == 3
    last = database.invoke("audit").out.splitlines()[-1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  \S+@\S+  fifo retry orders", last)
