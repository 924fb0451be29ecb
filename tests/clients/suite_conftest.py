"""Put behind the conftest of the client's own tests: httpbin stands where this says, behind the gateway or not.

``GATEWAY`` in the environment is the command that starts ``framework``; without it the tests talk to httpbin.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

# One route for each number of segments: a variable takes one, and the last one may be empty.
ROUTES = "".join(
    f"- proxy: {{path: '{path}', authorization: {{auth_mode: none}}}}\n  target: {{authorities: ['HTTPBIN']}}\n"
    for path in ("/{a}", "/{a}/{b}/{c}", "/{a}/{b}/{c}/{d}/{e}", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}")
)


@pytest.fixture(scope="session")
def _where() -> Iterator[str]:
    from httpbin import app
    from pytest_httpbin import serve

    with serve.Server(application=app) as server:
        if "GATEWAY" not in os.environ:
            yield server.url
            return
        with tempfile.TemporaryDirectory() as folder:
            yield from _gateway(Path(folder), server.url)


def _gateway(folder: Path, httpbin: str) -> Iterator[str]:
    definitions = folder / "definitions"
    definitions.mkdir()
    (definitions / "routes.yaml").write_text(ROUTES.replace("HTTPBIN", httpbin))
    out = folder / "out"
    with out.open("wb") as output:
        command = [*os.environ["GATEWAY"].split(), "serve", str(definitions), "--port", "0"]
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 30
        while not (found := re.search(r"listening on (http://\S+?);", out.read_text())):
            assert time.monotonic() < deadline, out.read_text()
            assert process.poll() is None, out.read_text()
            time.sleep(0.05)
        yield found[1]
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def httpbin(_where: str) -> Any:
    return prepare_url(SimpleNamespace(url=_where))  # type: ignore[name-defined]  # noqa: F821 - of the suite
