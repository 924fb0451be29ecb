"""The debug channel across processes: what any of them prints, every listener gets, whole and in order."""

from __future__ import annotations

import asyncio
import datetime
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from framework.script.debug import DebugChannel, Message, Missed, follow
from framework.storage import open_storage

from .app import route
from .conftest import Serve
from .server import COMMAND, Server, environment, run, until

pytestmark = pytest.mark.anyio

PRINT = route(
    "/print/{name}",
    "for number in range(int(parameters['times'][0])):\n"
    "    qprint('%s %d' % (resources['name'], number))\n"
    "    if number % 100 == 0:\n"
    "        await asyncio.sleep(0)\n"
    "return 200, None",
)
WORK = """
name: Printer
mode: single
script: |
  qprint("top level")
  async def consume():
      async with FIFO("work") as item:
          if item is not None:
              qprint(item)
"""
MODULE = """
name: colours
code: |
  qprint("module")
"""


def definitions(folder: Path) -> Path:
    there = folder / "definitions"
    there.mkdir()
    put = route("/work", "await FIFO('work').put(json.loads(request.body))\nreturn 202, None")
    for name, text in {"print": PRINT, "put": put, "work": WORK, "module": MODULE}.items():
        (there / f"{name}.yaml").write_text(text, encoding="utf-8")
    return there


async def heard(messages: object, count: int) -> list[Message | Missed]:
    found = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found.append(await anext(messages))  # type: ignore[call-overload]
    return found


async def test_two_listeners_hear_all_that_two_processes_print_in_order(serve: Serve, tmp_path: Path) -> None:
    folder = definitions(tmp_path)
    servers = [serve(folder, "--no-workers") for _ in range(2)]
    url = f"sqlite:///{tmp_path}/orders.db"
    async with (
        open_storage(url) as one,
        open_storage(url) as two,
        follow(one) as first,
        follow(two) as second,
    ):
        for name in "ab":
            for server in servers:
                answer = await asyncio.to_thread(server.post, f"/print/{name}?times=100", {})
                assert answer.code == 200
        for messages in (first, second):
            found = await heard(messages, 400)
            for server in servers:
                its = [m for m in found if m.node.endswith(f":{server.process.pid}")]
                assert [m.text for m in its] == [f"{name} {n}" for name in "ab" for n in range(100)]
                assert {m.worker for m in its if isinstance(m, Message)} == {"/print/{name}"}


async def test_a_server_that_starts_after_the_listener_is_heard_from_its_first_print(
    serve: Serve, tmp_path: Path
) -> None:
    folder = definitions(tmp_path)
    async with open_storage(f"sqlite:///{tmp_path}/orders.db") as storage, follow(storage) as messages:
        for _ in range(2):  # and again when it was started anew
            workers = await asyncio.to_thread(serve, folder, "--no-gateway")
            found = await heard(messages, 2)
            assert [(m.worker, m.text) for m in found if isinstance(m, Message)] == [
                ("colours", "module"),
                ("Printer", "top level"),
            ]
            await asyncio.to_thread(workers.stop)


async def test_a_worker_in_a_process_of_its_own_is_heard_with_its_name(serve: Serve, tmp_path: Path) -> None:
    folder = definitions(tmp_path)
    api, workers = serve(folder, "--no-workers"), serve(folder, "--no-gateway")
    async with open_storage(f"sqlite:///{tmp_path}/orders.db") as storage, follow(storage) as messages:
        await asyncio.to_thread(api.post, "/work", {"b": ["x"], "a": 1})
        [message] = await heard(messages, 1)
        assert isinstance(message, Message)
        assert (message.worker, message.text) == ("Printer", "a: 1\nb:\n- x")
        assert message.node.endswith(f":{workers.process.pid}")


async def test_the_listening_process_hears_its_own_prints_too(tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/own.db") as storage, follow(storage) as messages:
        channel = DebugChannel()
        channel.connect(storage.broadcast)
        channel.qprint("mine")
        [message] = await heard(messages, 1)
        assert message.text == "mine"


# ---- framework debug ---------------------------------------------------------------------------


class Debug:
    """``framework debug`` in the test's folder. ``close`` ends it whatever state it is in."""

    def __init__(self, folder: Path, *options: str, pipe: bool = False) -> None:
        number = len(list(folder.glob("*.debug-out")))
        self._out, self._err = folder / f"{number}.debug-out", folder / f"{number}.debug-err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, "debug", "--database", "sqlite:///orders.db", *options],
                cwd=folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else out,
                stderr=err,
            )
        until(lambda: "listening to what is printed" in self.err, 30, what=lambda: f"debug\n{self.err}")

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    @property
    def lines(self) -> list[str]:
        """The lines that are complete."""
        return self.out.split("\n")[:-1]

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def ends_well(self) -> None:
        assert self.process.wait(20) == 0
        assert self.err.count("\n") == 1, self.err

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def debug(tmp_path: Path) -> Iterator[Callable[..., Debug]]:
    started: list[Debug] = []

    def debug(*options: str, **more: bool) -> Debug:
        one = Debug(tmp_path, *options, **more)
        started.append(one)
        return one

    yield debug
    for one in started:
        one.close()


SCRIPT = route(
    "/odd",
    "qprint(MU(b=1, a=['x']))\nqprint('é \\x1b[2J\\x9b \\x1b[31mred\\x1b[0m \\ud800')\nreturn 200, None",
)


def odd(folder: Path) -> Path:
    there = folder / "definitions"
    there.mkdir()
    (there / "odd.yaml").write_text(SCRIPT, encoding="utf-8")
    return there


def test_debug_shows_what_is_printed_as_text_and_as_json(
    serve: Serve, debug: Callable[..., Debug], tmp_path: Path
) -> None:
    server = serve(odd(tmp_path))
    text, lines = debug(), debug("--format", "json")
    before = datetime.datetime.now(datetime.UTC)
    assert server.get("/odd").code == 200
    until(lambda: len(text.lines) == 4 and len(lines.lines) == 2)
    assert text.lines == ["a:", "- x", "b: 1", "é \\x9b red \\ud800"]
    first, second = lines.records()
    assert first["text"] == "a:\n- x\nb: 1"
    assert second["text"] == "é \x1b[2J\x9b \x1b[31mred\x1b[0m \ud800", "nothing is altered in JSON"
    assert list(first) == ["time", "node", "worker", "text"]
    assert first["worker"] == "/odd"
    assert first["node"].endswith(f":{server.process.pid}")
    times = [datetime.datetime.fromisoformat(record["time"]) for record in (first, second)]
    slack = datetime.timedelta(milliseconds=1)
    assert before - slack <= times[0] <= times[1] <= datetime.datetime.now(datetime.UTC)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", lines.out), "JSON does not steer a terminal"


def test_debug_works_before_a_server_runs_and_goes_on_when_it_is_started_anew(
    serve: Serve, debug: Callable[..., Debug], tmp_path: Path
) -> None:
    folder = definitions(tmp_path)
    assert run("token", "--database", "sqlite:///orders.db", cwd=tmp_path).code == 0
    listener = debug()
    for count in (1, 2):
        server = serve(folder)
        until(lambda count=count: listener.lines == ["module", "top level"] * count)  # type: ignore[misc]
        server.kill() if count == 1 else server.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_debug_ends_well_by_ctrl_c(
    serve: Serve, debug: Callable[..., Debug], tmp_path: Path, number: signal.Signals
) -> None:
    serve(definitions(tmp_path), "--no-workers")
    listener = debug()
    listener.process.send_signal(number)
    listener.ends_well()
    assert not list((tmp_path / "orders.db.run").glob("listen-*"))


def test_debug_ends_when_its_reader_has_gone_though_nothing_is_printed(
    serve: Serve, debug: Callable[..., Debug], tmp_path: Path
) -> None:
    serve(definitions(tmp_path), "--no-workers")
    listener = debug(pipe=True)
    assert listener.process.stdout is not None
    listener.process.stdout.close()
    listener.ends_well()


def test_debug_ends_by_ctrl_c_also_when_its_reader_hangs_and_no_script_waits(
    serve: Serve, debug: Callable[..., Debug], tmp_path: Path
) -> None:
    server = serve(definitions(tmp_path), "--no-workers")
    listener = debug(pipe=True)
    assert server.post("/print/a?times=50000", {}).code == 200
    with pytest.raises(subprocess.TimeoutExpired):
        listener.process.wait(1)
    listener.process.send_signal(signal.SIGINT)
    listener.ends_well()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_debug_says_why_it_cannot_write(serve: Serve, tmp_path: Path) -> None:
    server = serve(definitions(tmp_path), "--no-workers")
    with Path("/dev/full").open("w") as full:
        listener = subprocess.Popen(
            [*COMMAND, "debug", "--database", "sqlite:///orders.db"],
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        assert listener.stderr is not None
        assert "listening" in listener.stderr.readline()
        assert server.post("/print/a?times=1", {}).code == 200
        _, said = listener.communicate(timeout=20)
    finally:
        listener.kill()
        listener.wait()
    assert said == "framework: what is printed cannot be written any more: No space left on device\n"
    assert listener.returncode == 2


def test_debug_needs_a_database(tmp_path: Path) -> None:
    refused = run("debug", "--format", "json", cwd=tmp_path)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("framework: there is no database framework.db: `framework serve` makes it")
    assert not list(tmp_path.iterdir())


# ---- a listener that does not listen -----------------------------------------------------------

# Prints 60 MB, far beyond what is kept for a listener.
LARGE = route(
    "/large",
    "for number in range(30000):\n"
    "    qprint('%d %s' % (number, 'x' * 2000))\n"
    "    if number % 100 == 0:\n"
    "        await asyncio.sleep(0)\n"
    "return 200, None",
)


def resident(server: Server) -> int:
    """Bytes of memory that the process has in use."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [kilobytes] = re.findall(r"VmRSS:\s+(\d+) kB", status)
    return int(kilobytes) * 1024


def test_a_stopped_listener_costs_no_memory_and_is_told_exactly_what_it_missed(
    serve: Serve, debug: Callable[..., Debug], tmp_path: Path
) -> None:
    folder = definitions(tmp_path)
    (folder / "large.yaml").write_text(LARGE, encoding="utf-8")
    server = serve(folder, "--no-workers")
    stopped = debug("--format", "json")
    stopped.process.send_signal(signal.SIGSTOP)
    assert server.get("/large").code == 200
    filled = resident(server)
    for _ in range(2):
        assert server.get("/large").code == 200
    assert resident(server) - filled < 20_000_000
    assert server.post("/print/end?times=1", {}).code == 200

    stopped.process.send_signal(signal.SIGCONT)
    until(lambda: '"text": "end 0"' in stopped.out, 60)
    records = stopped.records()
    missed = sum(record.get("missed", 0) for record in records)
    received = sum("missed" not in record for record in records)
    assert missed > 60_000
    assert received + missed == 90_001
    assert stopped.process.poll() is None


def test_a_stopped_listener_keeps_the_others_from_nothing(
    serve: Serve, debug: Callable[..., Debug], tmp_path: Path
) -> None:
    server = serve(definitions(tmp_path), "--no-workers")
    stopped, well = debug(), debug()
    stopped.process.send_signal(signal.SIGSTOP)
    for number in range(10):
        assert server.post(f"/print/{number}?times=5000", {}).code == 200
        until(lambda number=number: len(well.lines) == (number + 1) * 5000, 30)  # type: ignore[misc]
    assert well.lines == [f"{name} {number}" for name in range(10) for number in range(5000)]
    assert stopped.lines == []
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 15, "the stop does not wait for who does not listen"


def test_a_killed_listener_is_forgotten_and_the_others_hear_on(
    serve: Serve, debug: Callable[..., Debug], tmp_path: Path
) -> None:
    server = serve(definitions(tmp_path), "--no-workers")
    killed, well = debug(), debug()
    assert server.post("/print/a?times=3", {}).code == 200
    until(lambda: killed.lines == well.lines == ["a 0", "a 1", "a 2"])
    killed.process.kill()
    killed.process.wait()
    assert server.post("/print/b?times=3", {}).code == 200
    until(lambda: well.lines[3:] == ["b 0", "b 1", "b 2"])
    well.process.send_signal(signal.SIGINT)
    well.ends_well()
    assert server.post("/print/c?times=1", {}).code == 200  # looks who is there, and finds the dead one
    until(lambda: not list((tmp_path / "orders.db.run").glob("listen-*")))
