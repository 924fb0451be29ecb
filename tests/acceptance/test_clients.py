"""Clients that misbehave on the wire: the server neither runs a script for them nor suffers from them."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from .app import app, route
from .conftest import Serve
from .server import until


@pytest.mark.parametrize("sent", [b"", b"part of it"], ids=["nothing", "a part"])
def test_a_script_does_not_run_when_the_client_leaves_before_its_body(
    serve: Serve, tmp_path: Path, sent: bytes
) -> None:
    definitions = app(tmp_path)
    note = str(tmp_path / "ran")
    (definitions / "note.yaml").write_text(
        route("/note", f"open({note!r}, 'ab').write(b'<' + request.body + b'>')\nreturn 204, None")
    )
    server = serve(definitions, "--no-workers")
    for _ in range(3):
        with socket.create_connection(server.address, timeout=5) as connection:
            connection.sendall(b"POST /note HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n" + sent)
            time.sleep(0.1)
    assert server.post("/note", b"whole", token=None).code == 204
    until(lambda: Path(note).exists())
    assert Path(note).read_bytes() == b"<whole>"
    assert "Traceback" not in server.err
