"""The order app as an engineer would write it by hand: Starlette, aiosqlite, one process, one file.

It keeps the promise that the framework keeps: an order that was answered with 202 is on the disk, together
with its place in the queue (WAL, `synchronous=FULL`, one commit a request).

    python -m benchmarks.peers.handwritten --database orders.db --port 8000
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiosqlite
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.peers.serving import serve

TOKEN_HASH = "ORDERS_TOKEN_SHA256"
"""Environment variable with the SHA-256, in hexadecimal, of the one token that may call."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY,
    order_id TEXT NOT NULL UNIQUE,
    parameters TEXT NOT NULL,
    status TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    payload TEXT NOT NULL
);
"""


class Orders:
    """Orders and their queue on one SQLite connection.

    The lock makes insert, insert and commit one unit. A connection has one transaction, and each of the
    three steps is an `await`: without the lock, the commit of one request would store the first half of
    another, and the rollback of one would take away what another had inserted. A read by identifier needs no
    lock: of an order that is not committed yet, nobody has been told the identifier.
    """

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._writing = asyncio.Lock()

    async def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Store an order and queue it; both are durable when this returns."""
        order = {"orderId": uuid.uuid1().hex, "parameters": parameters, "status": "standby"}
        row = (order["orderId"], json.dumps(parameters), order["status"])
        payload = json.dumps(order)
        async with self._writing:
            try:
                await self._connection.execute_insert(
                    "INSERT INTO orders (order_id, parameters, status) VALUES (?, ?, ?)", row
                )
                await self._connection.execute_insert("INSERT INTO queue (payload) VALUES (?)", (payload,))
                await self._connection.commit()
            except BaseException:
                await asyncio.shield(self._connection.rollback())
                raise
        return order

    async def get(self, order_id: str) -> dict[str, Any] | None:
        # execute_fetchall is one hop to the database's thread; execute, fetchone and close would be three.
        rows = await self._connection.execute_fetchall(
            "SELECT order_id, parameters, status FROM orders WHERE order_id = ?", (order_id,)
        )
        for row in rows:
            return _order(row)
        return None

    async def all(self) -> list[dict[str, Any]]:
        async with self._writing:  # a list must not show what is not committed yet
            rows = await self._connection.execute_fetchall(
                "SELECT order_id, parameters, status FROM orders ORDER BY number"
            )
        return [_order(row) for row in rows]


def _order(row: Any) -> dict[str, Any]:
    return {"orderId": row[0], "parameters": json.loads(row[1]), "status": row[2]}


def application(database: str, token_hash: str) -> Starlette:
    """The app on the SQLite file `database`, open to the token whose SHA-256 is `token_hash`."""
    expected = bytes.fromhex(token_hash)

    def authenticate(request: Request) -> None:
        token = request.headers.get("x-auth-token", "")
        if not hmac.compare_digest(hashlib.sha256(token.encode()).digest(), expected):
            raise HTTPException(401, "A valid X-Auth-Token is needed")

    async def orders(request: Request) -> JSONResponse:
        authenticate(request)
        store: Orders = request.app.state.orders
        if request.method != "POST":
            return JSONResponse(await store.all())
        try:
            parameters = json.loads(await request.body())
        except ValueError as error:
            raise HTTPException(400, f"The body is not JSON: {error}") from None
        if not isinstance(parameters, dict):
            raise HTTPException(422, "The body must be an object")
        return JSONResponse(await store.create(parameters), 202)

    async def order(request: Request) -> JSONResponse:
        authenticate(request)
        store: Orders = request.app.state.orders
        found = await store.get(request.path_params["order_id"])
        if found is None:
            raise HTTPException(404, "No such order")
        return JSONResponse(found)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with aiosqlite.connect(database) as connection:
            await connection.execute("PRAGMA journal_mode=WAL")
            await connection.execute("PRAGMA synchronous=FULL")
            await connection.executescript(SCHEMA)
            app.state.orders = Orders(connection)
            yield

    return Starlette(
        routes=[
            Route("/v1/orders", orders, methods=["GET", "POST"]),
            Route("/v1/orders/{order_id}", order, methods=["GET"]),
        ],
        lifespan=lifespan,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--database", required=True, help="the SQLite file")
    parser.add_argument("--port", required=True, type=int)
    arguments = parser.parse_args()
    serve(application(arguments.database, os.environ[TOKEN_HASH]), arguments.port)


if __name__ == "__main__":
    main()
