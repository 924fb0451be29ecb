"""``framework account``: on the database alone, the key once and alone on the last line, refusals that help."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from framework.access import accounts, tokens
from framework.definitions import Location, RoleDefinition
from framework.definitions.role import Authority
from framework.storage import open_storage
from tests.acceptance.server import Result, run

from .conftest import Database

PLACE = Location("roles.yaml", 1, 1)


@pytest.fixture
def roles(database: Database) -> Database:
    """A database whose last start had two roles."""
    reader = RoleDefinition("reader", PLACE, (Authority(re.compile("/v1"), ("GET", "HEAD"), PLACE),))
    database.use(
        lambda storage: accounts.record_roles(storage, [reader, RoleDefinition("writer", PLACE, ())])
    )
    return database


def do(database: Database, *arguments: object) -> Result:
    result = database.invoke("account", *arguments)
    assert result.code == 0, result
    return result


def refused(database: Database, *arguments: object) -> str:
    result = database.invoke("account", *arguments)
    assert (result.code, result.out) == (1, ""), result
    return result.err


def of_json(database: Database, *arguments: object) -> Any:
    return json.loads(do(database, *arguments, "--format", "json").out)


def logs_on(database: Database, key: str) -> bool:
    async def log_on() -> bool:
        async with open_storage(database.url) as storage:
            return await accounts.log_on(storage, key, expires_in=100) is not None

    return asyncio.run(log_on())


def test_a_key_is_printed_alone_and_hints_go_elsewhere(roles: Database) -> None:
    result = roles.run("account", "add", "alice", "--role", "reader", "--role", "writer")
    assert result.code == 0
    key = result.out.splitlines()[-1]
    assert result.out == f"{key}\n"
    assert "shown only once" in result.err
    assert key not in result.err
    assert logs_on(roles, key)
    again = do(roles, "rotate", "alice")
    assert logs_on(roles, again.out.splitlines()[-1])
    assert not logs_on(roles, key)


def test_a_key_as_json(roles: Database) -> None:
    made = of_json(roles, "add", "alice", "--role", "reader")
    assert made["name"] == "alice"
    assert logs_on(roles, made["key"])
    assert logs_on(roles, of_json(roles, "rotate", "alice")["key"])


def test_the_list_shows_what_there_is_but_no_key(roles: Database) -> None:
    assert "account add" in do(roles, "list").out
    assert of_json(roles, "list") == []
    keys = [do(roles, "add", name, "--role", "reader").out.strip() for name in ("bob", "alice")]
    assert logs_on(roles, keys[1])
    do(roles, "disable", "bob")
    roles.use(lambda storage: accounts.record_roles(storage, []))
    alice, bob = of_json(roles, "list")
    assert (alice["name"], alice["disabled"], alice["roles"]) == ("alice", False, ["reader"])
    assert (bob["name"], bob["disabled"], bob["unknown_roles"]) == ("bob", True, ["reader"])
    assert alice["logged_on_at"] is not None
    assert bob["logged_on_at"] is None
    text = do(roles, "list").out
    assert "reader (unknown)" in text
    assert not any(key in text + json.dumps([alice, bob]) for key in keys)


def test_disable_enable_and_remove_say_what_they_did(roles: Database) -> None:
    key = do(roles, "add", "alice", "--role", "reader").out.strip()
    assert do(roles, "disable", "alice").out == "account alice is disabled\n"
    assert do(roles, "disable", "alice").out == "account alice was disabled already\n"
    assert not logs_on(roles, key)
    assert do(roles, "enable", "alice").out == "account alice is enabled\n"
    assert do(roles, "enable", "alice").out == "account alice was not disabled\n"
    assert logs_on(roles, key)
    assert do(roles, "remove", "alice").out == "account alice is removed\n"
    assert not logs_on(roles, key)
    assert "there are none" in refused(roles, "remove", "alice")


def test_what_they_did_as_json(roles: Database) -> None:
    do(roles, "add", "alice", "--role", "reader")
    for changed in (True, False):
        assert of_json(roles, "disable", "alice") == {"name": "alice", "disabled": True, "changed": changed}
    for changed in (True, False):
        assert of_json(roles, "enable", "alice") == {"name": "alice", "disabled": False, "changed": changed}
    assert of_json(roles, "remove", "alice") == {"name": "alice", "removed": True}


def test_roles_are_shown_and_changed(roles: Database) -> None:
    do(roles, "add", "alice", "--role", "reader")
    assert do(roles, "roles", "alice").out == "reader\n"
    assert do(roles, "roles", "alice", "--add", "writer").out == "reader\nwriter\n"
    assert of_json(roles, "roles", "alice", "--remove", "reader") == ["writer"]
    assert do(roles, "roles", "alice", "--set", "reader").out == "reader\n"
    nothing = do(roles, "roles", "alice", "--remove", "reader")
    assert (nothing.out, nothing.err) == ("", "account alice has no role: it may call nothing\n")
    assert "did you mean writer" in refused(roles, "roles", "alice", "--add", "writr")


def test_without_a_name_all_roles_and_their_rights_are_shown(roles: Database) -> None:
    assert do(roles, "roles").out == "reader\n  GET HEAD             /v1\nwriter\n"
    assert of_json(roles, "roles") == [
        {"name": "reader", "authorities": [{"regex": "/v1", "methods": ["GET", "HEAD"]}]},
        {"name": "writer", "authorities": []},
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "alice"),
        ("roles", "--add", "reader"),
        ("roles", "alice", "--set", "reader", "--add", "writer"),
    ],
)
def test_wrong_usage_is_told_as_such(roles: Database, arguments: tuple[str, ...]) -> None:
    result = roles.invoke("account", *arguments)
    assert result.code == 2
    assert "Usage:" in result.err


def test_a_misspelt_role_or_name_is_told_with_what_may_be_meant(roles: Database) -> None:
    assert "did you mean reader" in refused(roles, "add", "alice", "--role", "raeder")
    do(roles, "add", "alice", "--role", "reader")
    for verb in ("disable", "enable", "rotate", "remove", "roles"):
        assert "did you mean alice" in refused(roles, verb, "alize")


def test_no_database_is_made_by_asking_for_accounts(database: Database) -> None:
    for arguments in (("add", "alice", "--role", "reader"), ("list",), ("remove", "alice")):
        result = run("account", *arguments, "--database", "sqlite:///none.db", cwd=database.folder)
        assert result.code == 2
        assert "there is no database none.db" in result.err
    assert not (database.folder / "none.db").exists()


def test_the_list_of_tokens_shows_whose_they_are(roles: Database) -> None:
    key = do(roles, "add", "alice", "--role", "reader").out.strip()
    assert logs_on(roles, key)
    roles.use(tokens.issue)
    records = json.loads(roles.invoke("token", "list", "--format", "json").out)
    assert [record["account"] for record in records] == ["alice", None]
    text = roles.invoke("token", "list").out
    assert "alice" in text
    assert "operator" in text
