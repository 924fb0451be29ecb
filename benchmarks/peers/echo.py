"""The limit of the order app: the same web stack with nothing behind it. No database, no token, no queue.

POST answers 202 with the JSON that came in, GET answers 200 with an order of the usual size.

    python -m benchmarks.peers.echo --port 8000
"""

from __future__ import annotations

import argparse
import json

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.peers.serving import serve


async def post(request: Request) -> JSONResponse:
    order_id = "0" * 32
    parameters = json.loads(await request.body())
    return JSONResponse({"orderId": order_id, "parameters": parameters, "status": "standby"}, 202)


async def get(request: Request) -> JSONResponse:
    order_id = request.path_params["order_id"]
    return JSONResponse({"orderId": order_id, "parameters": {"name": "hoge1"}, "status": "standby"})


application = Starlette(
    routes=[
        Route("/v1/orders", post, methods=["POST"]),
        Route("/v1/orders/{order_id}", get, methods=["GET"]),
    ]
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", required=True, type=int)
    arguments = parser.parse_args()
    serve(application, arguments.port)


if __name__ == "__main__":
    main()
