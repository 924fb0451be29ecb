"""The reference application, unmodified, does what its transcript shows."""

from __future__ import annotations

import base64
import re
import time
from itertools import groupby

import pytest

from .conftest import Serve
from .server import REFERENCE_APP, Server

NAMES = [f"hoge{number}" for number in range(5)]
HEX = re.compile(r"[0-9a-f]{32}")


def watched(server: Server, first_post: float) -> list[list[str]]:
    """The statuses of all orders as they change, until all are done."""
    seen: list[list[str]] = []
    while not seen or set(seen[-1]) != {"done"}:
        assert time.monotonic() - first_post < 60, seen
        statuses = server.statuses()
        if not seen or statuses != seen[-1]:
            seen.append(statuses)
        time.sleep(0.02)
    return seen


def test_five_orders_are_accepted_at_once_and_worked_off_one_by_one_in_order(serve: Serve) -> None:
    server = serve(REFERENCE_APP)
    assert server.token
    first_post = time.monotonic()
    answers = [server.post("/v1/orders/", {"name": name}) for name in NAMES]
    assert time.monotonic() - first_post < 1.0

    assert [answer.code for answer in answers] == [202] * 5
    sent = [answer.json() for answer in answers]
    assert [order["parameters"] for order in sent] == [{"name": name} for name in NAMES]
    assert {order["status"] for order in sent} == {"standby"}
    assert all(set(order) == {"orderId", "parameters", "status"} for order in sent)
    ids = [order["orderId"] for order in sent]
    assert len(set(ids)) == 5
    assert all(HEX.fullmatch(order_id) for order_id in ids)

    seen = watched(server, first_post)
    took = time.monotonic() - first_post
    # Five times three seconds; what is above 15 to 17 s is slack for a slow machine.
    assert 15.0 <= took < 20.0

    # Each order goes from standby over processing to done, the next one after it, never two at a time.
    for statuses in zip(*[["standby"] * 5, *seen], strict=True):
        assert [status for status, _ in groupby(statuses)] == ["standby", "processing", "done"]
    for statuses_now in seen:
        done = statuses_now.count("done")
        processing = statuses_now.count("processing")
        assert processing <= 1
        rest = ["standby"] * (5 - done - processing)
        assert statuses_now == ["done"] * done + ["processing"] * processing + rest

    assert [order["orderId"] for order in server.orders()] == ids
    assert server.get(f"/v1/orders/{ids[3]}").json() == sent[3] | {"status": "done"}
    assert printed_blocks(server) == expected_blocks(ids)
    assert server.stop() == 0


def printed_blocks(server: Server) -> list[str]:
    """The YAML blocks on standard output; each instance's own number is checked and made ID."""
    blocks = re.findall(r"^OrderEntry:\n(?:  .*\n)+", server.out, re.MULTILINE)
    for block in blocks:
        instance = re.search(r"^  instance: (.+)$", block, re.MULTILINE)
        assert instance, block
        name, _, number = base64.b64decode(instance[1], validate=True).decode().partition(":")
        assert name == "OrderEntry"
        assert HEX.fullmatch(number)
        assert number not in block  # it is made apart from the identifier
    return [re.sub(r"(?m)^  instance: .+$", "  instance: INSTANCE", block) for block in blocks]


def expected_blocks(ids: list[str]) -> list[str]:
    """The first block of the transcript, for each of our orders."""
    transcript = (REFERENCE_APP / "transcript.txt").read_text(encoding="utf-8")
    block = re.search(r"^OrderEntry:\n(?:  .*\n)+", transcript, re.MULTILINE)
    assert block, transcript
    blocks = []
    for name, order_id in zip(NAMES, ids, strict=True):
        text = re.sub(r"(?m)^  instance: .+$", "  instance: INSTANCE", block[0])
        text = re.sub(r"(?m)^  orderId: .+$", f"  orderId: {order_id}", text)
        blocks.append(text.replace("name: hoge0", f"name: {name}"))
    return blocks


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(REFERENCE_APP)


def test_what_is_refused_is_refused_as_a_problem(server: Server) -> None:
    for method, path, body, token, code in [
        ("DELETE", "/v1/orders/", None, "", 405),
        ("DELETE", "/v1/orders/7", None, "", 405),
        ("PUT", "/v1/orders/7", {"name": "x"}, "", 405),
        ("GET", "/v1/orders", None, None, 401),
        ("POST", "/v1/orders/", {"name": "x"}, None, 401),
        ("POST", "/v1/orders/", {"name": "x"}, "no-such-token", 401),
        ("POST", "/v1/orders/", b"{not json", "", 400),
        ("POST", "/v1/orders/", b"", "", 400),
        ("POST", "/v1/orders/", [1, 2], "", 422),
        ("POST", "/v1/orders/", "text", "", 422),
        ("GET", "/v1/orders/7/8", None, "", 404),
        ("GET", "/v1/orders/%2e%2e/orders", None, "", 400),
        ("POST", "/v1/orders/", b'"' + b"x" * 1024 * 1024 + b'"', "", 413),
    ]:
        answer = server.request(method, path, body, token=token)
        assert answer.code == code, (method, path, answer)
        answer.problem()
    assert server.orders() == []
    assert "Method not allowed" in server.request("DELETE", "/v1/orders/").problem()["detail"]
