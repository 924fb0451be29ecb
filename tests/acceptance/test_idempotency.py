"""An ``Idempotency-Key`` over the death of the server: the effect exactly once, and the same answer."""

from __future__ import annotations

import http.client
import random
import shutil
import threading
import time
from pathlib import Path

from .conftest import Serve
from .server import Server

ROOT = Path(__file__).parents[2]


def _app(folder: Path) -> Path:
    """The order app with ``idempotency: true``, and a script that takes a moment after it has saved."""
    definitions = folder / "definitions"
    shutil.copytree(ROOT / "definitions", definitions)
    routing = definitions / "orders.routing.yaml"
    text = routing.read_text().replace("  transaction: true ", "  idempotency: true ")
    text = text.replace(
        "        await order.save()\n", "        await order.save()\n        await asyncio.sleep(0.05)\n"
    )
    assert "idempotency: true" in text
    assert "sleep" in text
    routing.write_text(text)
    return definitions


def _post(server: Server, name: str, token: str) -> tuple[int, bytes] | None:
    """The answer, or None when the server died over it."""
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    try:
        headers = {"X-Auth-Token": token, "Idempotency-Key": name}
        connection.request("POST", "/v1/orders", b'{"name": "%s"}' % name.encode(), headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def test_sent_again_until_it_is_answered_it_acts_once(serve: Serve, tmp_path: Path) -> None:
    definitions = _app(tmp_path)
    server = serve(definitions, "--no-workers")
    token = server.token
    rng = random.Random(4)
    for number in range(6):
        killer = threading.Timer(rng.uniform(0.02, 0.1), server.kill)
        killer.start()
        first = _post(server, f"order-{number}", token)
        killer.join()
        server = serve(definitions, "--no-workers")
        again = _post(server, f"order-{number}", token)
        assert again is not None
        assert again[0] == 202, "void with its process: never 409 after the restart"
        assert first is None or first == again
    names = [order["parameters"]["name"] for order in server.orders()]
    assert names == [f"order-{number}" for number in range(6)]


def test_two_servers_on_one_database_answer_a_request_once(serve: Serve, tmp_path: Path) -> None:
    definitions = _app(tmp_path)
    servers = [serve(definitions, "--no-workers") for _ in range(2)]
    token = servers[0].token
    answers: list[tuple[int, bytes] | None] = []
    threads = [
        threading.Thread(target=lambda server=server: answers.append(_post(server, "same", token)))
        for server in servers * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer[0] for answer in answers if answer} <= {202, 409}
    time.sleep(0.2)
    final = {_post(server, "same", token) for server in servers}
    assert len(final) == 1
    assert len(servers[0].orders()) == 1
