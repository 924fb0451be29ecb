"""Whatever is sent to the order app, the answer is well formed and never the server's fault."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from .client import Client
from .conftest import Serving

pytestmark = pytest.mark.anyio

ORDER_APP = Path(__file__).parents[2] / "definitions"
REQUESTS = 2000

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "X"]
PARTS = [
    b"v1", b"orders", b"-", b"ready", b"live", b"", b".", b"..", b"%2e", b"%2F", b"%5c", b"%00", b"%FF", b"%",
    b"%C3%A9", b"\xff", b"*", b"a" * 300, b"7", b"{orderId}", b"'; DROP TABLE OrderEntry; --", b"%0d%0a", b"%uD800",
]  # fmt: skip
QUERIES = [b"", b"a=1", b"a", b"&&", b"a=%FF", b"=", b"a=%00", b"%", b"a=\xff", b"order_by=x", b"a=1" * 99]
BODIES = [
    b"", b"{}", b"[]", b"null", b"1", b'"x"', b"{", b"\xff", b"\x00", b"NaN", b"[NaN]", b'{"a": NaN}', b"Infinity",
    b'{"a": 1e999}', b'{"a": "\\ud800"}', b'{"\\ud800": 1}', b'{"a": "\\u0000"}', b"[" * 5000, b'{"a":' * 3000,
    b'{"a":' * 500 + b"1" + b"}" * 500, b"[" * 900 + b"]" * 900, b'{"a": ' + b"9" * 5000 + b"}", b"1" * 400,
    b'{"a": %d}' % 2**70, b'{"a": 1, "a": 2}', b'{"": ""}', b'{"orderId": "x"}', b'{"items": 1, "keys": 2}',
    b'\xef\xbb\xbf{"a": 1}', '{"a": 1}'.encode("utf-16"), b'{"__class__": "x", "instance": 1}', b"true", b"-0",
]  # fmt: skip
NAMES = ["x-auth-token", "content-type", "accept", "cookie", "x-a", "authorization", "transfer-encoding"]
VALUES = ["", "x", "é", "application/json", "\t", "a" * 2000, "../..", "chunked"]


def request(random: random.Random, known: list[str]) -> dict[str, Any]:
    if random.random() < 0.6:
        last = random.choice([b"", random.choice(PARTS), *(key.encode() for key in known[-3:])])
        target = b"/v1/orders" + random.choice([b"", b"/" + last])
    else:
        target = b"/" + b"/".join(random.choices(PARTS, k=random.randint(0, 5)))
    body = random.choice(BODIES)
    if random.random() < 0.3:
        body = bytes(random.choices(b'{}[]":,.0123456789-+eEtrufalsn\\ud8 \x00\xff', k=random.randint(0, 40)))
    cut = random.randint(0, len(body))
    return {
        "method": random.choice(METHODS),
        "target": target + b"?" + random.choice(QUERIES),
        "headers": dict(zip(random.sample(NAMES, 2), random.choices(VALUES, k=2), strict=True)),
        **random.choice([{"body": body}, {"chunks": [body[:cut], body[cut:]]}]),
    }


async def send(client: Client, request: dict[str, Any], *, inside: bool) -> tuple[int, bytes]:
    if not inside:
        answer = await client.request(request.pop("method"), request.pop("target"), **request)
        return answer.code, answer.body
    headers = {name: value for name, value in request["headers"].items() if name != "transfer-encoding"}
    body = request["body"] if "body" in request else b"".join(request["chunks"])
    called = await client.app.call(request["method"], request["target"].decode("latin-1"), headers, body)
    return called.code, called.body


@pytest.mark.parametrize("seed", range(4))
async def test_no_request_makes_a_server_error(serving: Serving, seed: int) -> None:
    source = random.Random(seed)
    known: list[str] = []
    codes: set[int] = set()
    async with serving(at=ORDER_APP) as client:
        for _ in range(REQUESTS // 4):
            made = request(source, known)
            shown = repr(made)[:2000]
            code, body = await send(client, made, inside=source.random() < 0.7)
            assert 200 <= code < 500, (shown, body)
            codes.add(code)
            if code == 202:
                known.append(json.loads(body)["orderId"])
        # It was not idle: orders were taken and found, and the rest was refused for a reason.
        assert {200, 202, 400, 401, 404, 405, 422} <= codes
        listed = json.loads((await client.app.call("GET", "/v1/orders", {}, b"")).body)
    assert [order["orderId"] for order in listed] == known
