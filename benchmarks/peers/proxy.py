"""Forwarding as an engineer would write it by hand: Starlette in front, a pooled aiohttp client behind.

It streams both ways, leaves out the headers of one connection, and says who called. It knows nothing of tokens,
of several hosts, or of a client that goes away.

    python -m benchmarks.peers.proxy --port 8000 --backend http://127.0.0.1:8001
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from yarl import URL

from benchmarks.peers.serving import serve

HOP_BY_HOP = frozenset(
    (
        "connection",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


def application(backend: str) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as client:
            app.state.client = client
            yield

    async def forward(request: Request) -> Response:
        headers = [(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP]
        headers.append(("x-forwarded-proto", request.url.scheme))
        if request.client is not None:
            headers.append(("x-forwarded-for", request.client.host))
        target = request.scope["raw_path"].decode()
        if request.url.query:
            target += f"?{request.url.query}"
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        answer = await request.app.state.client.request(
            request.method,
            URL(backend + target, encoded=True),
            headers=headers,
            data=request.stream() if has_body else None,
            allow_redirects=False,
        )
        response = StreamingResponse(
            answer.content.iter_any(), answer.status, background=BackgroundTask(answer.release)
        )
        response.raw_headers = [
            (name.lower(), value)
            for name, value in answer.raw_headers
            if name.lower().decode() not in HOP_BY_HOP
        ]
        return response

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return Starlette(routes=[Route("/v1/{rest:path}", forward, methods=methods)], lifespan=lifespan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--backend", required=True)
    arguments = parser.parse_args()
    serve(application(arguments.backend), arguments.port)


if __name__ == "__main__":
    main()
