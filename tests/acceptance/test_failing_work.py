"""A block that raises, a script that raises: the order keeps its place, the client learns no internals."""

from __future__ import annotations

import re
from pathlib import Path

from .app import app, begun, ended, notes, route
from .conftest import Serve
from .server import until


def test_an_order_whose_block_raises_is_offered_again_first_and_the_others_wait(
    serve: Serve, tmp_path: Path
) -> None:
    work = 'if order.parameters.name == "bad" and fifo.attempt <= 2:\n    raise RuntimeError("the back end is down")'
    server = serve(app(tmp_path, work=work))
    for name in ("first", "bad", "next", "last"):
        server.order(name)
    until(lambda: server.statuses() == ["done"] * 4)
    assert begun(tmp_path) == ["first", "bad", "bad", "bad", "next", "last"]
    assert ended(tmp_path) == ["first", "bad", "next", "last"]
    tries = [note for note in notes(tmp_path) if note["what"] == "begin" and note["name"] == "bad"]
    assert [note["attempt"] for note in tries] == [1, 2, 3]
    # It is not tried again at once: there is a back-off, and it grows.
    first, second, third = (note["at"] for note in tries)
    assert 0.1 < second - first < third - second
    assert server.err.count("\n    RuntimeError: the back end is down") == 2
    assert re.search(r"Dispatcher\.yaml:\d+", server.err)


def test_a_failing_worker_stops_neither_the_api_nor_another_worker(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path)
    (definitions / "broken.yaml").write_text(
        "name: Broken\nmode: multi\nscript: |\n  async def consume():\n      raise RuntimeError('always')\n"
    )
    (definitions / "leaving.yaml").write_text(
        "name: Leaving\nmode: multi\nscript: |\n  async def consume():\n      raise SystemExit(3)\n"
    )
    server = serve(definitions)
    for name in "abc":
        server.order(name)
    until(lambda: server.statuses() == ["done"] * 3)
    assert begun(tmp_path) == ["a", "b", "c"]
    assert re.search(r"broken\.yaml:5", server.err)
    assert re.search(r"leaving\.yaml:5", server.err)
    assert server.stop() == 0


def test_a_script_that_raises_is_500_with_an_id_that_the_log_explains(serve: Serve, tmp_path: Path) -> None:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "fails.yaml").write_text(route("/fails", "secret = 4711\nreturn {}[secret]"))
    server = serve(definitions)
    answers = [server.post("/fails", {}, token=None) for _ in range(2)]
    assert [answer.code for answer in answers] == [500, 500]
    ids = [answer.problem()["id"] for answer in answers]
    assert ids[0] != ids[1]
    for answer, error_id in zip(answers, ids, strict=True):
        told = answer.body.replace(error_id.encode(), b"")
        for internal in (b"4711", b"KeyError", b"Traceback", b".yaml", b".py", b"definitions"):
            assert internal not in told
    until(lambda: server.err.count("\n    KeyError: 4711") == 2, what=lambda: server.err)
    for error_id in ids:
        assert re.search(rf"ERROR .*{error_id}.* definitions/fails\.yaml:6", server.err)
    assert 'definitions/fails.yaml", line 6' in server.err
