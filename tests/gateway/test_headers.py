"""Headers on the way to a target: a script's stay, and what only a proxy may say comes from no client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from framework.errors import HTTPError
from framework.gateway.headers import RequestHeaders
from framework.gateway.wire.hops import to_target

from .backend import Backend, running
from .client import route
from .conftest import Serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def backend() -> Iterator[Backend]:
    with running() as backend:
        yield backend


def came(*headers: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers]


def sent(received: list[tuple[bytes, bytes]], headers: RequestHeaders) -> list[tuple[str, str]]:
    return to_target(received, headers.raw)


# ---- what a script sets ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "client",
    [
        [("Connection", "close, X-Role")],
        [("Connection", "X-Role"), ("X-Role", "guest")],  # the very value that the script sets
        [("Connection", "x-role"), ("Connection", "X_Role")],
        [("X-Role", "admin")],
        [("X_Role", "admin")],
        [("X.Role", "admin"), ("X~Role", "admin")],
        [("Connection", "X.Role, X!Role")],
        [("x-role", "admin"), ("X_ROLE", "admin"), ("X-Role", "admin")],
    ],
)
@pytest.mark.parametrize("name", ["X-Role", "x_role", "X-ROLE"])
def test_a_header_that_a_script_sets_is_the_only_one_of_its_name(
    client: list[tuple[str, str]], name: str
) -> None:
    received = came(*client)
    headers = RequestHeaders(received)
    headers[name] = "guest"
    assert sent(received, headers) == [(name.lower(), "guest")]


def test_every_way_to_set_a_header_counts() -> None:
    received = came(("Connection", "a, b, c, d, e"), ("A_", "1"), ("D", "theirs"))
    headers = RequestHeaders(received)
    headers["A"] = "1"
    headers.update({"B": "2"})
    headers |= {"C": "3"}
    assert headers.setdefault("E", "5") == "5"
    headers.append("D", "4")
    assert sent(received, headers) == [
        ("a_", "1"),
        ("a", "1"),
        ("b", "2"),
        ("c", "3"),
        ("e", "5"),
        ("d", "4"),
    ]


def test_a_list_becomes_several_lines() -> None:
    received = came(("X-A", "0"))
    headers = RequestHeaders(received)
    headers["X-A"] = ["1", "2"]
    headers.append("X-A", ("3",))
    assert sent(received, headers) == [("x-a", "1"), ("x-a", "2"), ("x-a", "3")]
    headers["X-A"] = []
    assert sent(received, headers) == []


def test_appending_keeps_what_the_client_sent_in_the_same_spelling() -> None:
    received = came(("X-A", "0"), ("X_A", "other"))
    headers = RequestHeaders(received)
    headers.append("X-A", "1")
    assert sent(received, headers) == [("x-a", "0"), ("x-a", "1")]


def test_what_a_script_deletes_is_gone_in_every_spelling() -> None:
    received = came(("X-Role", "admin"), ("X_Role", "admin"), ("X-Other", "1"))
    headers = RequestHeaders(received)
    del headers["x-ROLE"]
    assert sent(received, headers) == [("x-other", "1")]


def test_a_value_that_came_may_be_set_again() -> None:
    received = [(b"x-a", "café".encode())]
    headers = RequestHeaders(received)
    headers["X-B"] = headers["X-A"]
    assert sent(received, headers) == [("x-a", "café"), ("x-b", "café")]


@pytest.mark.parametrize("name", ["", "X A", "X-Ä", "X:", 7, None])
def test_what_is_not_the_name_of_a_header_is_refused_where_it_is_set(name: Any) -> None:
    headers = RequestHeaders(came(("X-A", "1")))
    for change in (
        lambda: headers.__setitem__(name, "1"),
        lambda: headers.__delitem__(name),
        lambda: headers.append(name, "1"),
    ):
        with pytest.raises(TypeError, match=re.escape(repr(name))):
            change()
    assert headers.items() == [("x-a", "1")]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (7, "int"),
        (None, "NoneType"),
        (b"1", "bytes"),
        (["1", 2], "int"),
        ("1\r\nX-B: 2", "control character"),
        ("\x00", "control character"),
        ("日本", "ASCII"),
        ("é", "ASCII"),  # one byte of Latin-1, which is not UTF-8
    ],
)
def test_a_value_that_http_cannot_carry_is_refused_where_it_is_set(value: Any, why: str) -> None:
    headers = RequestHeaders(came(("X-A", "1")))
    with pytest.raises(TypeError, match=why) as refused:
        headers["X-A"] = value
    assert "X-A" in str(refused.value)
    assert headers.items() == [("x-a", "1")]


def test_a_value_of_the_client_that_is_not_utf_8_is_its_mistake_where_it_is_set_again() -> None:
    headers = RequestHeaders([(b"x-a", b"caf\xe9"), (b"x-b", b"1")])
    with pytest.raises(HTTPError, match="X-C") as refused:
        headers["X-C"] = headers["X-A"]
    assert refused.value.code == 400


def test_a_script_may_set_what_is_not_taken_from_a_client() -> None:
    received = came(
        ("Connection", "X-Real-IP, Remote-User"), ("X-Real-IP", "6.6.6.6"), ("Remote_User", "root")
    )
    headers = RequestHeaders(received)
    for name in (
        "X-Real-IP",
        "Remote-User",
        "X-HTTP-Method-Override",
        "X-Forwarded-Prefix",
        "Proxy-Authorization",
    ):
        headers[name] = "mine"
    for name in ("X-Forwarded-For", "Forwarded", "Content-Length", "Transfer_Encoding", "Connection", "TE"):
        headers[name] = "not mine to say"
    assert sent(received, headers) == [
        ("x-real-ip", "mine"),
        ("remote-user", "mine"),
        ("x-http-method-override", "mine"),
        ("x-forwarded-prefix", "mine"),
        ("proxy-authorization", "mine"),
    ]


def test_a_client_does_not_take_away_what_the_gateway_says() -> None:
    received = came(("Connection", "X-Request-Id, Host"), ("X-Request-Id", "r-1"))
    assert to_target(received, received) == [("x-request-id", "r-1")]


async def test_a_response_script_sets_what_the_target_called_its_own(
    serving: Serving, backend: Backend
) -> None:
    """The target's ``Connection`` takes its own headers away, before the script sees them."""
    after = "response.headers['X-Order'] = '8'\nresponse.headers['Keep-Alive-Not'] = '1'"
    entry = route(
        "/echo", "logger.debug('on')", target={"authorities": [backend.url]}, response_forbidden_process=after
    )
    backend.extra = {"Connection": "keep-alive, X-Order, Keep-Alive-Not"}
    async with serving(entry) as client:
        answer = await client.get("/echo")
    assert (answer.headers["x-order"], answer.headers["keep-alive-not"]) == ("8", "1")
    assert "connection" not in answer.headers


# ---- what back ends believe -----------------------------------------------------------------

BELIEVED = [
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-HTTP-Method",
    "X-Original-URL",
    "X-Original-Host",
    "X-Rewrite-URL",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Real-IP",
    "X-Remote-User",
    "X-Remote-Group",
    "Remote-User",
    "Remote-Groups",
    "X-Forwarded-User",
    "X-Forwarded-Port",
    "X-Forwarded-Client-Cert",
    "X-Auth-Request-Email",
    "X-SSL-Client-Cert",
    "X-SSL-Client-Verify",
    "SSL-Client-S-DN",
    "X-Client-Cert",
    "X-ARR-ClientCert",
    "Client-Cert",
    "X-Webauth-User",
    "X-Middleware-Subrequest",
    "Proxy",
]


@pytest.mark.parametrize("name", BELIEVED)
def test_a_header_that_back_ends_believe_does_not_pass(name: str) -> None:
    for spelling in (name, name.lower(), name.upper(), name.replace("-", "_"), name.replace("-", "_", 1)):
        received = came((spelling, "GET"), ("X-Kept", "1"))
        assert to_target(received, received) == [("x-kept", "1")], spelling
        headers = RequestHeaders(received)  # neither where a script has looked at them
        headers["X-Seen"] = "1"
        assert sent(received, headers) == [("x-kept", "1"), ("x-seen", "1")]


def test_names_that_only_look_like_those_pass() -> None:
    names = [
        "x-remote",
        "remoteuser",
        "x-proxy",
        "proxy-id",
        "x-http",
        "x-ssl",
        "x-url",
        "x-user",
        "method-override",
    ]
    received = came(*((name, "1") for name in names))
    assert [name for name, _ in to_target(received, received)] == names


async def test_a_route_lets_some_of_them_pass(serving: Serving, backend: Backend) -> None:
    target = {"authorities": [backend.url]}
    open_ = route(
        "/open", "logger.debug('on')", target=target, pass_headers=["X-HTTP-Method-Override", "x_real_ip"]
    )
    shut = route("/shut", "logger.debug('on')", target=target)
    headers = {"X_HTTP_Method-Override": "PUT", "X-Real-IP": "6.6.6.6", "Remote-User": "root"}
    async with serving(open_, shut) as client:
        seen = (await client.get("/open", headers=headers)).json()["headers"]
        assert seen["x_http_method-override"] == "PUT"
        assert seen["x-real-ip"] == "6.6.6.6"
        assert "remote-user" not in seen
        seen = (await client.get("/shut", headers=headers)).json()["headers"]
        assert not {"x_http_method-override", "x-real-ip", "remote-user"} & seen.keys()
