"""Several processes on one database: the API in one, the workers in another, or all in both."""

from __future__ import annotations

import time
from pathlib import Path

from .app import app, begun, ended, notes
from .conftest import Serve
from .server import until
from .test_crash import begun_one_at_a_time


def test_one_process_takes_the_orders_and_another_works_them_off(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path)
    api = serve(definitions, "--no-workers")
    for name in "ab":
        api.order(name)
    time.sleep(0.5)
    assert api.statuses() == ["standby"] * 2

    workers = serve(definitions, "--no-gateway")
    until(lambda: api.statuses() == ["done"] * 2)
    api.order("c")
    until(lambda: api.statuses() == ["done"] * 3, 5)
    assert begun(tmp_path) == ["a", "b", "c"]
    assert {note["pid"] for note in notes(tmp_path)} == {workers.process.pid}
    assert workers.stop() == 0
    assert api.stop() == 0


def test_a_single_worker_of_two_servers_runs_once_and_the_other_takes_over(
    serve: Serve, tmp_path: Path
) -> None:
    definitions = app(tmp_path)
    servers = [serve(definitions), serve(definitions)]
    names = [str(number) for number in range(12)]
    for number, name in enumerate(names[:6]):
        servers[number % 2].order(name)
    until(lambda: servers[0].statuses() == ["done"] * 6)
    assert begun(tmp_path) == names[:6]
    [pid] = {note["pid"] for note in notes(tmp_path)}

    [holder] = [server for server in servers if server.process.pid == pid]
    [other] = [server for server in servers if server.process.pid != pid]
    for name in names[6:]:
        other.order(name)
    until(lambda: len(begun(tmp_path)) > 8)
    holder.kill()
    until(lambda: other.statuses() == ["done"] * 12, 15)
    assert list(dict.fromkeys(begun(tmp_path))) == names
    assert begun_one_at_a_time(tmp_path)
    assert notes(tmp_path)[-1]["pid"] == other.process.pid


def test_multi_workers_of_two_servers_still_have_one_order_in_work_at_a_time(
    serve: Serve, tmp_path: Path
) -> None:
    definitions = app(tmp_path, mode="multi", work="await asyncio.sleep(0.03)")
    servers = [serve(definitions), serve(definitions)]
    names = [str(number) for number in range(12)]
    for number, name in enumerate(names):
        servers[number % 2].order(name)
    until(lambda: servers[0].statuses() == ["done"] * 12)
    until(lambda: len(ended(tmp_path)) == 12)  # which the worker notes after it has saved
    assert begun(tmp_path) == ended(tmp_path) == names
    assert begun_one_at_a_time(tmp_path)


def test_what_one_server_stored_the_other_shows_at_once(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path)
    first, second = serve(definitions, "--no-workers"), serve(definitions, "--no-workers")
    for number in range(10):
        (first, second)[number % 2].order(str(number))
        shown = [order["parameters"]["name"] for order in (second, first)[number % 2].orders()]
        assert shown == [str(earlier) for earlier in range(number + 1)]
