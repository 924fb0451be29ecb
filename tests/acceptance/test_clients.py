"""Clients that misbehave on the wire: the server neither runs a script for them nor suffers from them."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from .app import app, route
from .conftest import Serve
from .server import COMMAND, environment, until


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


def test_a_reader_of_standard_output_that_stalls_stops_nobody(tmp_path: Path) -> None:
    definitions = app(tmp_path)
    (definitions / "print.yaml").write_text(
        route("/print", "for n in range(20):\n    qprint(f'{n:02} ' + 'x' * 10_000)\nreturn 204, None")
    )
    process = subprocess.Popen(
        [*COMMAND, "serve", str(definitions), "--port", "0", "--no-workers"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        number, said = process.stdout.fileno(), b""
        while (found := re.search(rb"listening on http://127.0.0.1:(\d+);", said)) is None:
            said += os.read(number, 4096)
        for path, code in (("/print", 204), ("/-/live", 200), ("/print", 204), ("/-/live", 200)):
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=5)
            connection.request("GET", path)
            assert connection.getresponse().status == code
            connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(6) == 0
        rest, err = process.communicate()
    finally:
        process.kill()
        process.communicate()
    # What fitted into the pipe is there, from the beginning and in order.
    numbers = re.findall(rb"^(\d\d) x", said + rest, re.MULTILINE)
    assert numbers == [b"%02d" % n for n in range(len(numbers))]
    assert numbers
    assert b"Fatal" not in err


def test_what_scripts_print_comes_out_in_order_and_whole_at_a_normal_end(
    serve: Serve, tmp_path: Path
) -> None:
    definitions = app(tmp_path)
    (definitions / "print.yaml").write_text(
        route("/print", "for n in range(3000):\n    qprint(f'n{n}')\nqprint('\\ud800')\nreturn 204, None")
    )
    server = serve(definitions, "--no-workers")
    assert server.get("/print", token=None).code == 204
    assert server.stop() == 0
    lines = server.out.splitlines()
    assert lines[-3001:] == [*(f"n{n}" for n in range(3000)), "\\ud800"]
    assert not [line for line in lines if "dropped" in line]
