"""Who calls, as scripts and targets learn it: the gateway's word, which no client can change."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from framework.access import accounts, tokens
from framework.storage import Storage

from .backend import Backend, running
from .client import route
from .conftest import Serving

pytestmark = pytest.mark.anyio

ROLES = """
- name: cook
  authorities: [{regex: /, methods: [GET]}]
- name: 'Köche, alle'
  authorities: [{regex: /, methods: [GET]}]
"""
SHOW = """
account = request.account
return 200, [account and [account.name, list(account.roles), account.unrestricted], request.client]
"""


@pytest.fixture
def backend() -> Iterator[Backend]:
    with running() as backend:
        yield backend


async def token_of(storage: Storage, name: str, *roles: str) -> str:
    found = await accounts.log_on(storage, await accounts.add(storage, name, roles), expires_in=100)
    assert found is not None
    return found.token


def echo(backend: Backend, *, auth: str = "axis", path: str = "/echo", **keys: object) -> str:
    script = str(keys.pop("script", "logger.debug('on it goes')"))
    return route(path, script, auth=auth, target={"authorities": [backend.url], "path": "/echo"}, **keys)


# ---- scripts --------------------------------------------------------------------------------


async def test_a_script_learns_the_account_its_roles_and_the_address(serving: Serving) -> None:
    inner = route("/inner", "return 200, (await callout(path='/who', response_jsonify=True)).body")
    async with serving(ROLES, route("/who", SHOW, auth="axis"), route("/open", SHOW), inner) as client:
        storage = client.runtime.session.storage
        alice = {"X-Auth-Token": await token_of(storage, "alice", "cook", "Köche, alle")}
        seen = (await client.get("/who", headers=alice)).json()
        assert seen == [["alice", ["cook", "Köche, alle"], False], "127.0.0.1"]
        operator = {"X-Auth-Token": await tokens.issue(storage)}
        assert (await client.get("/who", headers=operator)).json() == [["(operator)", [], True], "127.0.0.1"]
        for headers in ({}, alice, operator):
            assert (await client.get("/open", headers=headers)).json() == [None, "127.0.0.1"]
        assert (await client.get("/inner", headers=alice)).json() == [["(inside)", [], True], None]


async def test_a_role_that_the_definitions_have_no_more_is_told_to_nobody(serving: Serving) -> None:
    async with serving(ROLES, route("/who", SHOW, auth="axis")) as client:
        storage = client.runtime.session.storage
        headers = {"X-Auth-Token": await token_of(storage, "alice", "cook", "Köche, alle")}
    async with serving(ROLES.split("- name: 'K")[0], route("/who", SHOW, auth="axis")) as client:
        assert (await client.get("/who", headers=headers)).json()[0] == ["alice", ["cook"], False]


async def test_the_response_script_learns_it_and_nobody_can_set_it(
    serving: Serving, backend: Backend
) -> None:
    after = echo(backend, response_forbidden_process=f"assert response.code == 200\n{SHOW}")
    setting = route("/set", "request.account = None", auth="axis")
    async with serving(ROLES, after, setting) as client:
        headers = {"X-Auth-Token": await token_of(client.runtime.session.storage, "alice", "cook")}
        assert (await client.get("/echo", headers=headers)).json()[0] == ["alice", ["cook"], False]
        assert (await client.get("/set", headers=headers)).code == 500


# ---- targets --------------------------------------------------------------------------------

FORGED = [
    {"X-Account": "root", "X-Roles": "admin"},
    {"x_account": "root", "X_Roles": "admin"},
    {"X.Account": "root", "X~Roles": "admin", "x!account": "root", "X+Roles": "admin"},
    {"X-ACCOUNT": "root", "x-ROLES": "admin"},
    {"Connection": "close, X-Account, X-Roles"},
    {"Connection": "x-roles, X_Account", "X-Account": "root"},
]


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("scripted", [True, False])
async def test_a_target_learns_it_whatever_the_client_says(
    serving: Serving, backend: Backend, forged: dict[str, str], scripted: bool
) -> None:
    guarded, free = echo(backend), echo(backend, auth="none", path="/free")
    if not scripted:
        guarded, free = (text.partition("  request_forbidden")[0] for text in (guarded, free))
    async with serving(ROLES, guarded, free) as client:
        storage = client.runtime.session.storage
        alice = {"X-Auth-Token": await token_of(storage, "alice", "cook", "Köche, alle")}
        operator = {"X-Auth-Token": await tokens.issue(storage)}
        told = []
        for path, headers in (("/echo", alice), ("/echo", operator), ("/free", {}), ("/free", alice)):
            answer = await client.get(path, headers={**headers, **forged})
            assert answer.code == 200
            seen = {re.sub("[^a-z0-9]", "-", name): value for name, value in answer.json()["headers"].items()}
            told.append((seen.get("x-account"), seen.get("x-roles")))
    assert told == [
        ("alice", "cook, K%C3%B6che%2C%20alle"),
        ("(operator)", None),
        (None, None),
        (None, None),
    ]


async def test_a_script_sees_no_forged_identity_and_may_say_one_of_its_own(
    serving: Serving, backend: Backend
) -> None:
    shown = route("/shown", "return 200, dict(request.headers)")
    setting = echo(backend, script="request.headers['X-Account'] = 'for bob'")
    inner = route("/inner", "return 200, (await callout(path='/plain', headers={'X-Account': 'bob'})).body")
    async with serving(ROLES, shown, setting, inner, echo(backend, path="/plain")) as client:
        for forged in FORGED[:3]:
            seen = (await client.get("/shown", headers=forged)).json()
            assert not {name for name in seen if name.replace("_", "-") in ("x-account", "x-roles")}
        headers = {"X-Auth-Token": await token_of(client.runtime.session.storage, "alice", "cook")}
        seen = (await client.get("/echo", headers=headers)).json()["headers"]
        assert (seen["x-account"], seen["x-roles"]) == ("for bob", "cook")
        assert (await client.get("/inner")).json()["headers"]["x-account"] == "bob"
