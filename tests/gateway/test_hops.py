"""Headers on their way: what belongs to one connection ends at the gateway, and all else passes as it came."""

from __future__ import annotations

import pytest

from framework.gateway.wire.hops import Headers, Unsendable, _known, forwarded, to_client, to_target

OF_A_CONNECTION = [
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"http2-settings",
]


def through(*headers: tuple[bytes, bytes]) -> list[tuple[str, str]]:
    """What a target gets of a client's headers that no script has touched."""
    received = list(headers)
    return to_target(received, received)


def by_script(*headers: tuple[bytes, bytes], client: Headers | None = None) -> list[tuple[str, str]]:
    """What a target gets of headers that a script has set."""
    return to_target(client or [], list(headers))


# ---- to the target --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*OF_A_CONNECTION, b"content-length", b"expect", b"host", b"forwarded"])
def test_what_belongs_to_the_clients_connection_ends_here(name: bytes) -> None:
    for spelling in (name, name.replace(b"-", b"_")):
        assert through((spelling, b"1"), (b"x-kept", b"2")) == [("x-kept", "2")]


@pytest.mark.parametrize("name", [*OF_A_CONNECTION, b"content-length", b"expect", b"x-forwarded-for"])
def test_a_script_says_nothing_of_the_connection_but_its_credentials_at_a_proxy(name: bytes) -> None:
    passes = name in (b"proxy-authenticate", b"proxy-authorization")
    assert by_script((name, b"1")) == ([(name.decode(), "1")] if passes else [])


def test_headers_that_the_clients_connection_names_end_here_in_every_spelling() -> None:
    lines = [(b"connection", b"X-One, x_two ,"), (b"connection", b"X-THREE")]
    kept = [(b"x-four", b"4")]
    for name in (b"x-one", b"x_one", b"x.one", b"x-two", b"x_two", b"x-three"):
        assert through(*lines, (name, b"1"), *kept) == [("x-four", "4")]
        assert through((name, b"1"), *kept) == [(name.decode(), "1"), ("x-four", "4")]


def test_a_script_may_set_what_the_clients_connection_names() -> None:
    client = [(b"connection", b"x-one"), (b"x-one", b"theirs")]
    assert by_script((b"x-one", b"mine"), client=client) == [("x-one", "mine")]


def test_a_script_names_the_host_once_and_in_its_own_spelling() -> None:
    assert by_script((b"host", b"a.example:80")) == [("host", "a.example:80")]
    for headers in (
        [(b"host", b"a"), (b"host", b"b")],
        [(b"host", b"a"), (b"host", b"a"), (b"host", b"a")],
        [(b"Host", b"a")],
        [(b"host", b"a b")],
        [(b"host", b"a/b")],
    ):
        with pytest.raises(Unsendable, match="host") as refused:
            by_script(*headers)
        assert refused.value.by_script


@pytest.mark.parametrize(
    "header",
    [(b"x-a", b"1\n2"), (b"x-a", b"\x00"), (b"x-a", b"\x7f"), (b"x a", b"1"), (b"", b"1"), (b"x-a", b"\xff")],
)
def test_what_http_cannot_carry_is_refused_and_it_is_told_who_has_set_it(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(Unsendable, match=f"'{header[0].decode()}'") as refused:
        through(header)
    assert refused.value.by_script is False
    with pytest.raises(Unsendable) as refused:
        by_script(header)
    assert refused.value.by_script is True


def test_a_tab_and_text_beyond_ascii_pass() -> None:
    assert through((b"x-a", "a\tü".encode())) == [("x-a", "a\tü")]


def test_names_that_clients_make_long_are_read_alike_and_not_kept_in_memory() -> None:
    _known.cache_clear()
    short, long = b"x" * 64, b"y" * 65
    for _ in range(2):
        assert through((short, b"1"), (long, b"2")) == [(short.decode(), "1"), (long.decode(), "2")]
    assert (_known.cache_info().currsize, _known.cache_info().hits) == (1, 1)
    assert through((b"x-forwarded-" + b"z" * 60, b"1")) == []


# ---- to the client --------------------------------------------------------------------------


@pytest.mark.parametrize("framing", [True, False])
def test_what_belongs_to_the_targets_connection_ends_here(framing: bool) -> None:
    raw = [(name, b"1") for name in OF_A_CONNECTION if name != b"connection"]
    named = [(b"Connection", b"X-One, x_two"), (b"X-One", b"1"), (b"X_One", b"1"), (b"X.Two", b"1")]
    kept = [(b"X-Kept", b"1"), (b"Content-Length", b"3"), (b"Set-Cookie", b"a"), (b"Set-Cookie", b"b")]
    length = [(b"content-length", b"3")] if framing else []
    cookies = [(b"set-cookie", b"a"), (b"set-cookie", b"b")]
    assert to_client([*raw, *named, *kept], framing=framing) == [(b"x-kept", b"1"), *length, *cookies]


def test_all_other_headers_of_a_target_pass_as_they_came() -> None:
    raw = [(b"x-one", b"1"), (b"x_two", b"caf\xe9"), (b"forwarded", b"x")]
    assert to_client(raw, framing=True) == raw


@pytest.mark.parametrize("header", [(b"x-a", b"1\r2"), (b"x a", b"1"), (b"", b"1")])
def test_a_target_sends_nothing_that_would_end_a_header_early(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(Unsendable, match="the header") as refused:
        to_client([header], framing=True)
    assert refused.value.by_script is False


# ---- who called -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "client", "told"),
    [
        (
            "a.example:81",
            ("192.0.2.1", 5),
            {
                "x-forwarded-for": "192.0.2.1",
                "x-forwarded-host": "a.example:81",
                "forwarded": 'for=192.0.2.1;proto=https;host="a.example:81"',
            },
        ),
        (
            None,
            ("2001:db8::1", 5),
            {"x-forwarded-for": "2001:db8::1", "forwarded": 'for="[2001:db8::1]";proto=https'},
        ),
        (None, None, {"forwarded": "for=unknown;proto=https"}),  # a call from inside (RFC 7239, 6.2)
        (
            'a\\"b',
            None,
            {"x-forwarded-host": 'a\\"b', "forwarded": 'for=unknown;proto=https;host="a\\\\\\"b"'},
        ),
    ],
)
def test_the_back_end_is_told_who_called(
    host: str | None, client: tuple[str, int] | None, told: dict[str, str]
) -> None:
    found = forwarded("https", host, client)
    assert len(found) == len(dict(found))
    assert dict(found) == {"x-forwarded-proto": "https", **told}
