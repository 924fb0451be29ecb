"""A stop that a script would hold up: by a loop that it blocks, a thread, or a child process."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from .app import app, begun, ended, notes, route
from .conftest import Serve
from .server import Server, until

SPIN = "while True: pass"
SLEEP = "__import__('time').sleep(60)"
SEARCH = "re.match('(a+)+$', 'a' * 40 + 'b')"
BLOCKING = pytest.mark.parametrize("block", [SPIN, SLEEP, SEARCH], ids=["loop", "sleep", "search"])


def blocking_route(folder: Path, block: str) -> Path:
    definitions = app(folder)
    script = f"open('blocked', 'w').close()\n{block}\nreturn 200, 1"
    (definitions / "block.yaml").write_text(route("/block", script))
    return definitions


def ask_for_the_block(server: Server, folder: Path) -> None:
    """A request that blocks the server; nobody waits for its answer."""

    def ask() -> None:
        try:
            server.get("/block", token=None)
        except OSError:
            pass

    threading.Thread(target=ask, daemon=True).start()
    until(lambda: (folder / "blocked").exists())


@BLOCKING
def test_a_second_signal_stops_a_server_whose_loop_is_blocked(
    serve: Serve, tmp_path: Path, block: str
) -> None:
    server = serve(blocking_route(tmp_path, block))
    ask_for_the_block(server, tmp_path)
    server.send(signal.SIGINT)
    until(lambda: "SIGINT: stopping" in server.err)
    time.sleep(0.3)
    server.send(signal.SIGTERM)
    assert server.wait(5) == 130
    assert server.family() == []


@BLOCKING
def test_the_grace_ends_a_server_whose_loop_is_blocked_and_names_the_line(
    serve: Serve, tmp_path: Path, block: str
) -> None:
    server = serve(blocking_route(tmp_path, block), "--stop-timeout", "0.2")
    ask_for_the_block(server, tmp_path)
    assert server.stop() == 1
    assert "by force: " in server.err
    assert "block.yaml:6 in request_forbidden_process" in server.err


def test_a_worker_that_blocks_the_loop_is_ended_and_its_item_not_charged(
    serve: Serve, tmp_path: Path
) -> None:
    definitions = app(tmp_path, work=SPIN)
    server = serve(definitions, "--no-workers")
    server.order("a")
    assert server.stop() == 0
    for attempt in (1, 2):
        server = serve(definitions, "--stop-timeout", "0.2", wait=False)
        until(lambda attempt=attempt: len(begun(tmp_path)) == attempt)
        assert server.stop() == 1
        assert "by force" in server.err
    text = (definitions / "Dispatcher.yaml").read_text()
    (definitions / "Dispatcher.yaml").write_text(text.replace(SPIN, "pass"))
    server = serve(definitions)
    until(lambda: server.statuses() == ["done"])
    assert {note["attempt"] for note in notes(tmp_path) if note["what"] == "begin"} == {1}
    assert "died" not in server.err


@pytest.mark.parametrize("where", ["module", "worker"])
def test_a_start_that_takes_long_is_stopped(serve: Serve, tmp_path: Path, where: str) -> None:
    definitions = app(tmp_path)
    slow = "open('blocked', 'w').close()\n  __import__('time').sleep(60)\n"
    if where == "module":
        (definitions / "slow.yaml").write_text(f"name: slow\ncode: |\n  {slow}")
    else:
        worker = definitions / "Dispatcher.yaml"
        worker.write_text(worker.read_text().replace("script: |\n", f"script: |\n  {slow}", 1))
    server = serve(definitions, "--stop-timeout", "0.2", wait=False)
    until(lambda: (tmp_path / "blocked").exists() or server.process.poll() is not None)
    assert server.stop() == 1, server.err
    assert "by force: " in server.err
    assert ".yaml:" in server.err


def test_a_signal_during_the_start_takes_no_item_and_ends_well(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path)
    server = serve(definitions, "--no-workers")
    server.order("a")
    assert server.stop() == 0
    worker = definitions / "Dispatcher.yaml"
    slow = "open('blocked', 'w').close()\n  __import__('time').sleep(1)\n"
    worker.write_text(worker.read_text().replace("script: |\n", f"script: |\n  {slow}", 1))
    server = serve(definitions, wait=False)
    until(lambda: (tmp_path / "blocked").exists())
    assert server.stop() == 0
    assert begun(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT], ids=lambda number: number.name)
def test_other_signals_stop_gracefully_too(serve: Serve, tmp_path: Path, number: signal.Signals) -> None:
    definitions = app(tmp_path, work="await asyncio.sleep(1)")
    server = serve(definitions)
    server.order("a")
    until(lambda: begun(tmp_path) == ["a"])
    server.send(number)
    if number == signal.SIGHUP:  # a terminal's end is told by the system and by the shell
        time.sleep(0.4)
        server.send(number)
    assert server.wait() == 0
    assert f"{number.name}: stopping" in server.err
    server = serve(definitions)
    until(lambda: server.statuses() == ["done"])
    assert begun(tmp_path) == ["a"]


def test_nohup_is_heeded(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        server = Server(app(tmp_path), tmp_path)
    finally:
        signal.signal(signal.SIGHUP, before)
    try:
        server.ready()
        server.send(signal.SIGHUP)
        time.sleep(0.3)
        assert server.get("/-/ready", token=None).code == 200
        assert server.stop() == 0
    finally:
        server.close()


TAKEN = {
    "ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "handled": "signal.signal(signal.SIGTERM, lambda *arguments: None)\nsignal.set_wakeup_fd(-1)",
    "not told": "signal.set_wakeup_fd(-1)",
}


@pytest.mark.parametrize("where", ["route", "module"])
@pytest.mark.parametrize("take", TAKEN.values(), ids=TAKEN)
def test_a_signal_that_a_script_has_taken_stops_the_server_all_the_same(
    serve: Serve, tmp_path: Path, take: str, where: str
) -> None:
    definitions = app(tmp_path)
    script = f"import signal\n{take}\n"
    if where == "module":
        code = "".join(f"  {line}\n" for line in script.splitlines())
        (definitions / "taking.yaml").write_text(f"name: taking\ncode: |\n{code}")
    else:
        (definitions / "taking.yaml").write_text(route("/take", f"{script}return 1"))
    server = serve(definitions)
    if where == "route":
        assert server.get("/take", token=None).code == 200
    until(lambda: "the server has taken it back" in server.err)
    assert server.stop(timeout=10) == 0
    assert "SIGTERM: stopping" in server.err


@pytest.mark.parametrize(("timeout", "whole"), [("0", True), ("0.2s", False)])
def test_the_time_of_a_stop_is_an_option_and_zero_is_without_end(
    serve: Serve, tmp_path: Path, timeout: str, whole: bool
) -> None:
    server = serve(app(tmp_path, work="await asyncio.sleep(2)"), env={"FRAMEWORK_STOP_TIMEOUT": timeout})
    server.order("a")
    until(lambda: begun(tmp_path) == ["a"])
    assert server.stop() == 0
    assert ended(tmp_path) == (["a"] if whole else [])
    assert "is cancelled" not in server.err if whole else "is cancelled" in server.err


# ---- threads --------------------------------------------------------------------------------

THREADS = {
    "to_thread": "await asyncio.to_thread(__import__('time').sleep, 45)",
    "pool": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "await asyncio.get_running_loop().run_in_executor(ThreadPoolExecutor(), __import__('time').sleep, 45)"
    ),
    "thread": (
        "import threading\n"
        "threading.Thread(target=__import__('time').sleep, args=(45,), name='plain').start()\n"
        "await asyncio.sleep(45)"
    ),
}


@pytest.mark.parametrize("work", THREADS.values(), ids=THREADS)
def test_after_the_grace_the_process_ends_whatever_threads_do(
    serve: Serve, tmp_path: Path, work: str
) -> None:
    definitions = app(tmp_path, work=work)
    server = serve(definitions, "--stop-timeout", "0.3")
    server.order("a")
    until(lambda: begun(tmp_path) == ["a"])
    time.sleep(0.2)
    assert server.stop() == 1
    assert "by force" in server.err
    assert server.family() == []

    worker = definitions / "Dispatcher.yaml"
    worker.write_text(worker.read_text().replace("45", "0"))
    server = serve(definitions)
    until(lambda: server.statuses() == ["done"])
    assert [note["attempt"] for note in notes(tmp_path) if note["what"] == "begin"] == [1, 1]


def test_a_thread_that_a_failed_start_left_does_not_hold_up_the_end(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path)
    worker = definitions / "Dispatcher.yaml"
    left = (
        "import threading\n  threading.Thread(target=__import__('time').sleep, args=(60,)).start()\n  1 / 0\n"
    )
    worker.write_text(worker.read_text().replace("script: |\n", f"script: |\n  {left}", 1))
    server = serve(definitions, wait=False)
    assert server.wait(15) == 1
    assert "ZeroDivisionError" in server.err


CALL = """
def call(number):
    with open("calls.log", "a") as log:
        log.write(f"begin {number}\\n")
        log.flush()
        __import__("time").sleep(1.5)
        log.write(f"end {number}\\n")
"""

HANDED_OVER = {
    "to_thread": "await asyncio.to_thread(call, fifo.attempt)",
    "pool": "await asyncio.get_running_loop().run_in_executor(POOL, call, fifo.attempt)",
    "own time-out": "await asyncio.wait_for(asyncio.to_thread(call, fifo.attempt), 0.2)",
}


@pytest.mark.parametrize("handed_over", HANDED_OVER.values(), ids=HANDED_OVER)
def test_a_block_is_not_redelivered_while_its_thread_still_runs(
    serve: Serve, tmp_path: Path, handed_over: str
) -> None:
    definitions = app(tmp_path, work=handed_over)
    worker = definitions / "Dispatcher.yaml"
    top = "from concurrent.futures import ThreadPoolExecutor\nPOOL = ThreadPoolExecutor()\n" + CALL
    indented = "".join(f"  {line}\n" if line else "\n" for line in top.splitlines())
    text = worker.read_text().replace("script: |\n", f"script: |\n{indented}", 1)
    worker.write_text(text)
    (definitions / "policy.yaml").write_text(
        "fifo: orders\ntimeout: 0.3\nmax_attempts: 2\nbackoff: {initial: 0.01}\n"
    )
    server = serve(definitions)
    server.order("a")
    calls = tmp_path / "calls.log"
    until(lambda: calls.exists() and calls.read_text().count("end") == 2)
    assert calls.read_text().split("\n")[:4] == ["begin 1", "end 1", "begin 2", "end 2"]
    assert "what it runs in a thread" in server.err
    assert server.stop() == 0


TASK_CALL = """
async def call(number):
    with open("calls.log", "a") as log:
        log.write(f"begin {number}\\n")
    try:
        await asyncio.sleep(5)
    finally:
        await asyncio.sleep(0.5)
        with open("calls.log", "a") as log:
            log.write(f"end {number}\\n")

async def fail():
    await asyncio.sleep(0.1)
    raise ValueError
"""

BEGUN = {
    "gather": "await asyncio.gather(call(fifo.attempt), fail())",
    "shield": "await asyncio.shield(call(fifo.attempt))",
    "wait": "await asyncio.wait([asyncio.create_task(call(fifo.attempt))])",
    "left": "task = asyncio.create_task(call(fifo.attempt))\nawait fail()",
    "of a task": "await asyncio.shield(asyncio.gather(call(fifo.attempt)))",
}


@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN)
def test_a_block_that_failed_is_not_redelivered_before_its_tasks_have_ended(
    serve: Serve, tmp_path: Path, begun: str
) -> None:
    definitions = app(tmp_path, work=begun)
    worker = definitions / "Dispatcher.yaml"
    indented = "".join(f"  {line}\n" if line else "\n" for line in TASK_CALL.splitlines())
    worker.write_text(worker.read_text().replace("script: |\n", f"script: |\n{indented}", 1))
    (definitions / "policy.yaml").write_text(
        "fifo: orders\ntimeout: 0.5\nmax_attempts: 2\nbackoff: {initial: 0.01}\n"
    )
    server = serve(definitions)
    server.order("a")
    calls = tmp_path / "calls.log"
    until(lambda: calls.exists() and calls.read_text().count("end") == 2)
    assert calls.read_text().split("\n")[:4] == ["begin 1", "end 1", "begin 2", "end 2"]
    assert server.stop() == 0


# ---- children -------------------------------------------------------------------------------

POOL = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
pool = ProcessPoolExecutor(1, get_context("fork"))
await asyncio.get_running_loop().run_in_executor(pool, __import__("time").sleep, 1.5)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_to_the_group_is_one_graceful_stop_and_a_pool_may_end_its_work(
    serve: Serve, tmp_path: Path, number: signal.Signals
) -> None:
    definitions = app(tmp_path, work=POOL)
    server = serve(definitions)
    server.order("a")
    until(lambda: len(server.family()) > 1)
    time.sleep(0.3)
    os.killpg(server.process.pid, number)
    assert server.wait() == 0, server.err
    assert "Traceback" not in server.err
    assert server.family() == []
    server = serve(definitions)
    until(lambda: server.statuses() == ["done"])
    assert begun(tmp_path) == ["a"]


def test_a_child_that_is_terminated_dies_and_the_server_goes_on(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path)
    script = (
        "import multiprocessing, time\n"
        "child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))\n"
        "child.start()\n"
        "await asyncio.sleep(0.2)\n"
        "child.terminate()\n"
        "await asyncio.to_thread(child.join, 5)\n"
        "return 200, child.exitcode"
    )
    (definitions / "fork.yaml").write_text(route("/fork", script))
    server = serve(definitions)
    assert server.get("/fork", token=None).json() == -signal.SIGTERM
    assert server.get("/-/ready", token=None).code == 200
    assert server.stop() == 0


def test_a_child_that_comes_back_to_the_event_loop_is_ended(serve: Serve, tmp_path: Path) -> None:
    work = "__import__('os').fork()\nawait asyncio.sleep(0.2)"
    server = serve(app(tmp_path, work=work))
    server.order("a")
    server.order("b")
    until(lambda: ended(tmp_path) == ["a", "b"])
    until(lambda: server.family() == [server.process.pid], 5)
    assert begun(tmp_path) == ["a", "b"]
    assert "came back to the server's event loop and was ended" in server.err
    assert server.get("/-/ready", token=None).code == 200
    assert server.stop() == 0


@pytest.mark.parametrize("error", ["SystemExit(0)", "KeyboardInterrupt"])
def test_a_start_that_a_script_would_leave_has_failed_at_its_line(
    serve: Serve, tmp_path: Path, error: str
) -> None:
    definitions = app(tmp_path)
    (definitions / "leaving.yaml").write_text(f"name: leaving\ncode: |\n  raise {error}\n")
    server = serve(definitions, wait=False)
    assert server.wait(20) == 1
    assert "leaving.yaml:3 in <module> failed: " + error.partition("(")[0] in server.err
    assert "Event loop stopped" not in server.err


def test_a_child_keeps_no_connection_and_not_the_address(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path)
    script = (
        "pid = os.fork()\nif pid == 0:\n    import time\n    time.sleep(60)\n    os._exit(0)\nreturn 200, pid"
    )
    (definitions / "fork.yaml").write_text(route("/fork", "import os\n" + script))
    server = serve(definitions)
    child = server.get("/fork", token=None).json()
    port = f":{server.address[1]:04X}"

    def held() -> list[str]:
        """The sockets on the server's port that the child has."""
        inodes = set()
        for entry in Path(f"/proc/{child}/fd").iterdir():
            with suppress(OSError):
                inodes.add(os.readlink(entry).removeprefix("socket:[").removesuffix("]"))
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        return [row[1] for row in rows if row[1].endswith(port) and row[9] in inodes]

    try:
        until(
            lambda: not held(), what=lambda: f"the end of {held()}"
        )  # the child lets go of them as it begins
    finally:
        os.kill(child, signal.SIGKILL)
    assert server.stop() == 0


def test_a_stop_at_the_end_of_standard_input_is_forced_too(tmp_path: Path) -> None:
    definitions = blocking_route(tmp_path, SPIN)
    with pytest.MonkeyPatch.context() as patch:
        original: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen
        reading, writing = os.pipe()
        patch.setattr(
            "subprocess.Popen", lambda *args, **options: original(*args, **(options | {"stdin": reading}))
        )
        server = Server(definitions, tmp_path, "--stop-at-eof", "--stop-timeout", "0.2")
    os.close(reading)
    try:
        server.ready()
        ask_for_the_block(server, tmp_path)
        os.close(writing)
        assert server.wait() == 1
        assert "standard input has ended: stopping" in server.err
    finally:
        server.close()
