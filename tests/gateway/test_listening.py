"""Whose connections are counted together, and that a count ends with its connections."""

from __future__ import annotations

from dataclasses import replace

import pytest

from framework.gateway.wire.limits import DEFAULTS
from framework.gateway.wire.sharing import Admission, Listening, client_of


@pytest.mark.parametrize(
    ("address", "client"),
    [
        (None, None),  # a socket of this machine has none
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_an_ipv6_network_is_one_client(address: str | None, client: str | None) -> None:
    assert client_of(address) == client


def test_each_client_is_counted_by_itself_and_forgotten() -> None:
    listening = Listening(replace(DEFAULTS, max_connections=30, max_connections_per_client=2))
    assert [listening.enter("a") for _ in range(3)] == [Admission.WELCOME] * 2 + [Admission.CROWDED]
    assert listening.enter("b") is Admission.WELCOME
    assert [listening.enter("a") for _ in range(16)][-1] is Admission.CUT
    for _ in range(19):
        listening.left("a")
    assert listening.enter("a") is Admission.WELCOME
    listening.left("a")
    listening.left("b")
    assert not listening._of
    assert [listening.enter(None) for _ in range(31)][-1] is Admission.FULL
