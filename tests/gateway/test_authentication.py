"""Who may call: tokens, accounts and roles at the gateway, and what is left of a credential behind it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from framework.access import accounts, tokens
from framework.access.caller import INSIDE, OPEN, OPERATOR, Caller
from framework.access.tokens import Tokens
from framework.definitions import Location, RoleDefinition
from framework.definitions.believed import SEPARATORS
from framework.errors import StorageError
from framework.gateway.authentication import Authentication, _spellings
from framework.gateway.responses import Response
from framework.storage import Storage

from .client import Client, route
from .conftest import Serving

pytestmark = pytest.mark.anyio

ROLES = r"""
- name: reader
  authorities: [{regex: '/v1/things(/\d+)?$', methods: [GET]}]
- name: writer
  authorities: [{regex: '/v1/things', methods: [POST, DELETE]}]
- name: hidden
  authorities: [{regex: /secret-cellar, methods: [GET]}]
"""
SHOW = "return 200, [request.method, str(request.headers), dict(request.headers), repr(request)]"
THINGS = route("/v1/things/{key}", SHOW, auth="axis")
ANYBODY = route("/open", SHOW)


@asynccontextmanager
async def guarded(serving: Serving) -> AsyncIterator[tuple[Client, Storage]]:
    async with serving(ROLES, THINGS, ANYBODY) as client:
        yield client, client.runtime.session.storage


async def token_of(storage: Storage, name: str, *roles: str) -> str:
    found = await accounts.log_on(storage, await accounts.add(storage, name, roles), expires_in=100)
    assert found is not None
    return found.token


async def test_a_call_needs_a_token_and_its_account_a_role_that_allows_it(serving: Serving) -> None:
    async with guarded(serving) as (client, storage):
        secret = await token_of(storage, "alice", "reader")
        for headers in ({"X-Auth-Token": secret}, {"Authorization": f"Bearer {secret}"}):
            assert (await client.get("/v1/things", headers=headers)).code == 200
            assert (await client.get("/v1/things/7", headers=headers)).code == 200
            assert (await client.get("/v1/things/x", headers=headers)).code == 403
            assert (await client.post("/v1/things", headers=headers)).code == 403
            assert (await client.request("HEAD", "/v1/things", headers=headers)).code == 403


async def test_what_is_matched_is_the_decoded_path(serving: Serving) -> None:
    async with guarded(serving) as (client, storage):
        headers = {"X-Auth-Token": await token_of(storage, "alice", "reader")}
        assert (await client.get("/v1/%74hings/%37", headers=headers)).code == 200
        assert (await client.get("/v1/things/7%2e", headers=headers)).code == 403
        assert (await client.get("/v1/things/7?x=/v1/things", headers=headers)).code == 200


async def test_an_operators_token_may_call_everything(serving: Serving) -> None:
    async with guarded(serving) as (client, storage):
        headers = {"X-Auth-Token": await tokens.issue(storage)}
        for method in ("GET", "POST", "PATCH", "BREW"):
            assert (await client.request(method, "/v1/things/x", headers=headers)).code == 200


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": ""}, {"Authorization": "Bearer "}])
async def test_without_a_token_it_is_said_how_to_get_one(serving: Serving, headers: dict[str, str]) -> None:
    async with guarded(serving) as (client, _):
        answer = await client.get("/v1/things", headers=headers)
        assert answer.code == 401
        assert "POST /-/logon" in answer.problem()["detail"]
        assert (
            answer.headers["www-authenticate"] == 'X-Auth-Token realm="framework", Bearer realm="framework"'
        )


async def test_a_token_that_is_not_valid_is_told_from_none(serving: Serving) -> None:
    async with guarded(serving) as (client, _):
        for headers in ({"X-Auth-Token": "nonsense"}, {"Authorization": "bearer nonsense"}):
            answer = await client.get("/v1/things", headers=headers)
            assert answer.code == 401
            assert "not valid" in answer.problem()["detail"]
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
            assert b"nonsense" not in answer.body


async def test_two_different_tokens_are_refused_and_twice_the_same_is_one(serving: Serving) -> None:
    async with guarded(serving) as (client, storage):
        secret = await tokens.issue(storage)
        both = {"X-Auth-Token": secret, "Authorization": f"Bearer {secret}"}
        assert (await client.get("/v1/things", headers=both)).code == 200
        other = both | {"Authorization": f"Bearer {await tokens.issue(storage)}"}
        answer = await client.get("/v1/things", headers=other)
        assert answer.code == 400
        assert "two different tokens" in answer.problem()["detail"]


async def test_a_refusal_says_what_is_missing_and_nothing_of_other_roles(serving: Serving) -> None:
    async with guarded(serving) as (client, storage):
        headers = {"X-Auth-Token": await token_of(storage, "alice", "reader")}
        answer = await client.request("DELETE", "/v1/things/7", headers=headers)
        assert answer.code == 403
        problem = answer.problem()
        assert problem["detail"] == "no role of this account allows DELETE on /v1/things/{key}"
        assert (problem["method"], problem["path"]) == ("DELETE", "/v1/things/{key}")
        for hidden in ("writer", "hidden", "cellar", "reader", "alice"):
            assert hidden not in answer.body.decode()


async def test_a_change_of_the_accounts_roles_acts_on_tokens_that_are_out(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "BELIEVED_FOR", 0.0)
    async with guarded(serving) as (client, storage):
        headers = {"X-Auth-Token": await token_of(storage, "alice", "reader")}
        assert (await client.post("/v1/things", headers=headers)).code == 403
        await accounts.set_roles(storage, "alice", to=["writer"])
        assert (await client.post("/v1/things", headers=headers)).code == 200
        assert (await client.get("/v1/things", headers=headers)).code == 403
        await accounts.disable(storage, "alice")
        assert (await client.post("/v1/things", headers=headers)).code == 401


async def test_a_change_of_the_definitions_acts_on_tokens_that_are_out(serving: Serving) -> None:
    async with guarded(serving) as (client, storage):
        headers = {"X-Auth-Token": await token_of(storage, "alice", "reader")}
        assert (await client.get("/v1/things", headers=headers)).code == 200
    async with serving(ROLES.replace("methods: [GET]", "methods: [PATCH]"), THINGS) as client:
        assert (await client.get("/v1/things", headers=headers)).code == 403
        assert (await client.request("PATCH", "/v1/things", headers=headers)).code == 200
    async with serving("- name: other\n  authorities: []\n", THINGS) as client:
        storage = client.runtime.session.storage
        assert (await client.request("PATCH", "/v1/things", headers=headers)).code == 403
        assert set(await accounts.roles_in_force(storage)) == {"other"}


async def test_a_script_never_sees_our_credentials(serving: Serving) -> None:
    async with guarded(serving) as (client, storage):
        secret = await tokens.issue(storage)
        key = await accounts.add(storage, "alice", ["reader"])
        carried = [
            {"X-Auth-Token": secret},
            {"Authorization": f"Bearer {secret}"},
            {"X-Auth-Token": secret, "X-Xaas-Api-Key": key},
            *(
                {"X-Auth-Token": secret, name: secret}
                for name in ("X_Auth_Token", "x-auth_token", "X_AUTH-TOKEN", "X.Auth~Token")
            ),
            *(
                {"X-Auth-Token": secret, name: key}
                for name in ("X_Xaas_Api_Key", "x-xaas_api-key", "X.Xaas!Api^Key")
            ),
            {"X-Auth-Token": secret, "Authorization": f"Bearer\t{secret}"},
            {"Authorization": f"bEARER \t  {secret}\t"},
            {"X-Auth-Token": f" {secret} \t"},
        ]
        mistaken = [
            {"X-Auth-Token": key},
            {"Authorization": f"Bearer {key}"},
        ]  # a key where a token should be
        for path, sent in (("/v1/things", carried), ("/open", carried + mistaken)):
            for headers in sent:
                answer = await client.get(path, headers=headers | {"X-Other": "stays"})
                assert answer.code == 200
                assert secret not in answer.body.decode()
                assert key not in answer.body.decode()
                assert answer.json()[2]["x-other"] == "stays"


async def test_blanks_around_a_token_do_not_count_and_another_spelling_of_its_header_does_not_admit(
    serving: Serving,
) -> None:
    async with guarded(serving) as (client, storage):
        secret = await tokens.issue(storage)
        for value in (f"{secret} ", f"\t{secret}", f" {secret}\t \t"):
            assert (await client.get("/v1/things", headers={"X-Auth-Token": value})).code == 200
        for value in (f"Bearer\t{secret}", f"Bearer   {secret} "):
            assert (await client.get("/v1/things", headers={"Authorization": value})).code == 200
        for name in ("X_Auth_Token", "x-auth_token"):
            answer = await client.get("/v1/things", headers={name: secret})
            assert answer.code == 401
            assert "invalid_token" not in answer.headers["www-authenticate"]
        for value in (f"Bearer{secret}", f"Bearer\u00a0{secret}", f"{secret[:9]} {secret[9:]}"):
            assert (await client.get("/v1/things", headers={"X-Auth-Token": value})).code == 401
            assert (await client.get("/v1/things", headers={"Authorization": value})).code == 401
        blank = {"X-Auth-Token": f"{secret} ", "Authorization": f"Bearer {secret}"}
        assert (await client.get("/v1/things", headers=blank)).code == 200  # the same one twice


async def test_what_is_no_credential_of_ours_goes_on(serving: Serving) -> None:
    """A target may have tokens of its own, in headers of the same names."""
    async with guarded(serving) as (client, storage):
        theirs = {"X-Auth-Token": "keystone", "Authorization": "Bearer theirs"}
        seen = (await client.get("/open", headers=theirs)).json()[2]
        assert (seen["x-auth-token"], seen["authorization"]) == ("keystone", "Bearer theirs")
        basic = {"X-Auth-Token": await tokens.issue(storage), "Authorization": "Basic dTpw"}
        seen = (await client.get("/v1/things", headers=basic)).json()[2]
        assert seen["authorization"] == "Basic dTpw"
        assert "x-auth-token" not in seen


async def test_a_call_from_inside_needs_no_token_and_keeps_its_headers(serving: Serving) -> None:
    script = "answer = await callout('/v1/things', headers={'X-Auth-Token': 'mine'})\nreturn answer.code, answer.body"
    async with serving(ROLES, THINGS, route("/door", script)) as client:
        answer = await client.get("/door")
        assert answer.code == 200
        assert json.loads(answer.body)[2]["x-auth-token"] == "mine"


# ---- the decision alone ---------------------------------------------------------------------

Headers = list[tuple[bytes, bytes]]
KEPT = (b"x-kept", b"1")
SAYS_WHO = [(b"x-account", b"root"), (b"x_roles", b"admin")]


async def admitted(
    tokens: Any, headers: Headers, *, auth: str = "axis", inside: bool = False, **more: Any
) -> tuple[Caller | Response, dict[str, Any]]:
    """What is decided of a call, and what is left of the request."""
    scope = {"method": "GET", "path": "/v1/things", "headers": headers, **more}
    entry: Any = SimpleNamespace(definition=SimpleNamespace(auth_mode=auth), path="/v1/things/{key}")
    return await Authentication(tokens).admit(scope, entry, inside=inside), scope


async def test_a_call_by_the_control_socket_is_the_operators_and_brings_no_identity(storage: Storage) -> None:
    headers = [*SAYS_WHO, KEPT]
    caller, scope = await admitted(Tokens(storage), headers, control=object())
    assert caller is OPERATOR
    assert scope["headers"] == [KEPT]


async def test_a_token_that_comes_by_the_control_socket_counts(storage: Storage) -> None:
    """Who calls for an account is that account, and no operator."""
    for header in ((b"x-auth-token", b"nonsense"), (b"authorization", b"Bearer nonsense")):
        answer, scope = await admitted(Tokens(storage), [header, KEPT], control=object())
        assert isinstance(answer, Response)
        assert answer.code == 401
        assert scope["headers"] == [KEPT]


async def test_credentials_of_others_do_not_count_by_the_control_socket(storage: Storage) -> None:
    basic = (b"authorization", b"Basic dTpw")
    caller, scope = await admitted(Tokens(storage), [basic], control=object())
    assert caller is OPERATOR
    assert scope["headers"] == [basic]


async def test_nobody_says_who_calls_beside_a_token(storage: Storage) -> None:
    secret = (await tokens.issue(storage)).encode()
    for name, value in ((b"x-auth-token", secret), (b"authorization", b"Bearer " + secret)):
        caller, scope = await admitted(Tokens(storage), [*SAYS_WHO, (name, value), KEPT])
        assert caller is OPERATOR
        assert scope["headers"] == [KEPT]
    caller, scope = await admitted(Tokens(storage), [*SAYS_WHO, KEPT], auth="none")
    assert caller is OPEN
    assert scope["headers"] == [KEPT]


async def test_a_token_that_is_known_is_taken_out_and_the_clients_list_stays_whole(storage: Storage) -> None:
    checking = Tokens(storage)
    headers = [KEPT, (b"x-auth-token", (await tokens.issue(storage)).encode()), (b"x-other", b"2")]
    for _ in range(2):  # the second time it is known without a look at the database
        caller, scope = await admitted(checking, headers)
        assert caller is OPERATOR
        assert scope["headers"] == [KEPT, (b"x-other", b"2")]
        assert len(headers) == 3


async def _added(storage: Storage, name: str) -> str:
    await accounts.record_roles(storage, [RoleDefinition("any", Location("roles.yaml", 1, 1), ())])
    return await accounts.add(storage, name, ["any"])


async def test_an_account_that_may_not_call_stands_in_the_access_log(storage: Storage) -> None:
    key = await _added(storage, "alice")
    found = await accounts.log_on(storage, key, expires_in=100)
    assert found is not None
    answer, scope = await admitted(Tokens(storage), [(b"x-auth-token", found.token.encode())])
    assert isinstance(answer, Response)
    assert answer.code == 403
    assert scope["account"] == "alice"


async def test_a_bearer_token_may_not_have_a_blank_and_is_a_credential_all_the_same(storage: Storage) -> None:
    for value in (b"Bearer a b", b"bearer a b c d", b" Bearer x"):
        answer, scope = await admitted(Tokens(storage), [(b"authorization", value), KEPT])
        assert isinstance(answer, Response)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert scope["headers"] == [KEPT]


async def test_no_token_and_a_bad_one_are_told_apart(storage: Storage) -> None:
    missing, _ = await admitted(Tokens(storage), [])
    invalid, _ = await admitted(Tokens(storage), [(b"x-auth-token", b"nonsense")])
    assert isinstance(missing, Response)
    assert isinstance(invalid, Response)
    assert missing.body != invalid.body


async def test_what_cannot_be_asked_for_goes_no_further_on_an_open_route(storage: Storage) -> None:
    """While the database cannot be read nobody knows whose a token is; a password of another scheme is theirs."""

    async def fails(secret: bytes) -> bool:
        raise StorageError("gone")

    checking: Any = SimpleNamespace(is_ours=fails)
    basic = (b"authorization", b"Basic dTpw")
    doubtful = [(b"x-auth-token", b"a"), (b"authorization", b"Bearer a"), (b"x-xaas-api-key", b"a")]
    caller, scope = await admitted(checking, [*doubtful, basic, KEPT], auth="none")
    assert caller is OPEN
    assert scope["headers"] == [basic, KEPT]


async def test_a_basic_password_is_the_targets_on_an_open_route(storage: Storage) -> None:
    basic = (b"authorization", f"Basic {await tokens.issue(storage)}".encode())
    _, scope = await admitted(Tokens(storage), [basic], auth="none")
    assert scope["headers"] == [basic]


async def test_what_a_script_sends_along_is_its_own(storage: Storage) -> None:
    caller, scope = await admitted(Tokens(storage), [*SAYS_WHO, (b"x-auth-token", b"a")], inside=True)
    assert caller is INSIDE
    assert scope["headers"] == [*SAYS_WHO, (b"x-auth-token", b"a")]


def test_a_name_is_spelt_with_any_separator_at_each_place() -> None:
    found = _spellings(b"x-a-b", b"plain")
    assert {b"x-a-b", b"x_a-b", b"x-a_b", b"x.a_b", b"x|a~b", b"plain"} <= found
    assert len(found) == len(SEPARATORS) ** 2 + 1
