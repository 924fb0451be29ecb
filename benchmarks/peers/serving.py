"""How every peer is served: on the same stack, with the same choices, so that only what is behind it differs."""

from __future__ import annotations

from typing import Any

import uvicorn


def serve(application: Any, port: int) -> None:
    """Serve an ASGI application on loopback until a signal comes."""
    uvicorn.run(
        application,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
