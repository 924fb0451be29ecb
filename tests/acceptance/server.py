"""The real command in a process of its own: started, asked, stopped and killed as a user would."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "framework"]
REFERENCE_APP = Path(__file__).parents[1] / "fixtures" / "reference-app"

# A start takes about a second; this much is for a machine that is busy with other things.
START_TIMEOUT = 30.0


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, without what would change the command's behaviour, and with the command on the PATH."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("FRAMEWORK_")}
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{own.get('PATH', os.defpath)}"
    return own | dict(more or {})


@dataclass(frozen=True)
class Result:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


def run(
    *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, stdin: str = "", **options: Any
) -> Result:
    """Run ``framework ARGUMENTS`` to its end."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Answer:
    code: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        content: dict[str, Any] = self.json()
        assert content["status"] == self.code
        return content


class Server:
    """``framework serve`` on a free port. ``close`` ends it whatever state it is in."""

    def __init__(
        self,
        definitions: Path,
        folder: Path,
        *options: object,
        database: str = "sqlite:///orders.db",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.database = database
        self._address: tuple[str, int] | None = None
        self._token: str | None = None
        number = len(list(folder.glob("*.out")))
        self._out = folder / f"{number:02}.out"
        self._err = folder / f"{number:02}.err"
        arguments = ["serve", definitions, "--database", database, *options]
        if "--no-gateway" not in options:
            arguments += ["--port", 0]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, *map(str, arguments)],
                cwd=folder,
                env=environment(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    # ---- life -------------------------------------------------------------------------------

    def ready(self) -> Server:
        """Wait until it serves; it itself, so that it reads ``Server(...).ready()``."""
        until(self._serves, START_TIMEOUT, what=lambda: f"the start\n{self.out}\n{self.err}")
        return self

    def reached(self) -> Server:
        """Wait until its address is known, ready or not; it itself."""
        until(self._tells_its_address, START_TIMEOUT, what=lambda: f"the start\n{self.out}\n{self.err}")
        return self

    def _tells_its_address(self) -> bool:
        assert self.process.poll() is None, f"it ended with {self.process.returncode}\n{self.err}"
        found = re.search(r"127\.0\.0\.1:(\d+)", self.out + self.err)
        if found is not None:
            self._address = ("127.0.0.1", int(found[1]))
        return found is not None

    def _serves(self) -> bool:
        if not self._tells_its_address():
            return "without a gateway" in self.out
        try:
            return self.get("/-/ready", token=None).code == 200
        except OSError:
            return False

    def kill(self) -> None:
        """``kill -9``: nothing can be put in order."""
        self.process.kill()
        self.process.wait()

    def send(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 20.0) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(timeout)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 20.0) -> int:
        self.send(number)
        return self.wait(timeout)

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()

    def family(self) -> list[int]:
        """The processes of its session that are alive: itself, and what it may have started."""
        members = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(after_name[3]) == self.process.pid and after_name[0] != "Z":
                members.append(int(entry.name))
        return members

    def cpu_seconds(self) -> float:
        """What all its threads have used so far, in user and system mode."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # ---- what it wrote ----------------------------------------------------------------------

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    # ---- asking it --------------------------------------------------------------------------

    @property
    def address(self) -> tuple[str, int]:
        assert self._address is not None, "not ready yet"
        return self._address

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.address)

    @property
    def token(self) -> str:
        """A token of the database, made by the command at the first use."""
        if self._token is None:
            made = run("token", "--database", self.database, cwd=self.folder)
            assert made.code == 0, made.err
            self._token = made.out.strip()
        return self._token

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
        timeout: float = 20.0,
    ) -> Answer:
        """One request on a connection of its own. ``token``: ours by default, none for ``None``."""
        sent_headers = {} if token is None else {"X-Auth-Token": token or self.token}
        sent_headers |= headers or {}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(*self.address, timeout=timeout)
        try:
            connection.request(method, path, content, sent_headers)
            response = connection.getresponse()
            sent = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, sent, response.read())
        finally:
            connection.close()

    def get(self, path: str, *, token: str | None = "") -> Answer:
        return self.request("GET", path, token=token)

    def post(self, path: str, body: object, *, token: str | None = "") -> Answer:
        return self.request("POST", path, body, token=token)

    def order(self, name: str) -> str:
        """Post an order of this name; its id."""
        answer = self.post("/v1/orders/", {"name": name})
        assert answer.code == 202, answer
        return str(answer.json()["orderId"])

    def orders(self) -> list[dict[str, Any]]:
        answer = self.get("/v1/orders")
        assert answer.code == 200, answer
        found: list[dict[str, Any]] = answer.json()
        return found

    def statuses(self) -> list[str]:
        return [order["status"] for order in self.orders()]


def until(
    true: Callable[[], object], timeout: float = 20.0, *, pause: float = 0.02, what: Callable[[], str] = str
) -> None:
    """Wait until something is true; it is looked at again every ``pause`` seconds."""
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, f"waited {timeout:g} s in vain for {what()}"
        time.sleep(pause)
