"""The tests of a public HTTP client, its own, against httpbin: directly and through the gateway, with the same results.

``requests`` brings its tests in its source distribution, which is fetched with pip; they need the extra ``clients``
(``pip install -e '.[dev,clients]'``). Both runs are whole processes of pytest; only the place of httpbin differs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("suite_conftest.py")

# What differs through the gateway, and why that is right.
DIFFERENT = {
    # Proxy-Authorization is for the next hop, and the gateway is that hop: it ends there (RFC 9110, 11.7.2).
    "tests/test_requests.py::TestRequests::test_proxy_authorization_preserved_on_request",
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's own tests, of the version that is installed."""
    pytest.importorskip("pytest_httpbin", reason="needs the extra `clients`")
    folder = tmp_path_factory.mktemp("suite")
    wanted = f"requests=={version('requests')}"
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", wanted]
    done = subprocess.run([*download, "-d", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip cannot fetch the tests: {done.stderr.strip()[-200:]}")
    [archive] = folder.glob("requests-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    [unpacked] = (path for path in folder.glob("requests-*") if path.is_dir())
    own = unpacked / "tests" / "conftest.py"
    ours = CONFTEST.read_text(encoding="utf-8").replace("from __future__ import annotations\n", "")
    own.write_text(own.read_text(encoding="utf-8") + ours, encoding="utf-8")
    return unpacked


def results(suite: Path, **environment: str) -> dict[str, str]:
    """The outcome of each test."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rA",
        "-p",
        "no:cacheprovider",
        "tests/test_requests.py",
    ]
    done = subprocess.run(
        command, cwd=suite, capture_output=True, text=True, timeout=900, env=os.environ | environment
    )
    found = re.findall(r"^(PASSED|FAILED|ERROR|XFAIL|XPASS) (tests/\S+)", done.stdout, re.MULTILINE)
    assert len(found) > 250, done.stdout[-3000:]
    return {name: outcome for outcome, name in found}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_its_own_tests_come_out_the_same(suite: Path) -> None:
    directly = results(suite)
    through = results(suite, GATEWAY=f"{sys.executable} -m framework")
    passed = {name for name, outcome in directly.items() if outcome == "PASSED"}
    assert len(passed) > 250
    assert directly.keys() == through.keys()
    assert {name for name in directly if directly[name] != through[name]} == DIFFERENT
