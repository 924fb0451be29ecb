"""Log records as text for people and as JSON for machines."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Iterator

import pytest

from framework.observing import logs


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """Standard error, with the logging of the tests put back afterwards."""
    names = (None, "uvicorn", "uvicorn.error", "asyncio")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    yield capsys
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)


def lines(stderr: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in written(stderr).split("\n")[:-1]]


def written(stderr: pytest.CaptureFixture[str]) -> str:
    for handler in logging.getLogger().handlers:
        handler.flush()
    return stderr.readouterr().err


def test_a_line_of_json_has_what_the_record_brings(stderr: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logging.getLogger("framework.fifo").warning("item %d", 7, extra={"action": "settle_retry", "fifo": "ü"})
    [line] = lines(stderr)
    time = dt.datetime.fromisoformat(str(line.pop("time")))
    assert abs((dt.datetime.now(dt.UTC) - time).total_seconds()) < 60
    assert line == {
        "level": "warning",
        "logger": "framework.fifo",
        "message": "item 7",
        "action": "settle_retry",
        "fifo": "ü",
    }


def test_every_record_is_one_line_of_json_whatever_it_holds(stderr: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logger = logging.getLogger("framework")
    logger.info(
        "two\nlines \u2028 and %s", object(), extra={"value": {1, 2}, "bytes": b"x", "error": KeyError("k")}
    )
    try:
        raise KeyError("k")
    except KeyError:
        logger.exception("failed")
    first, second = lines(stderr)
    assert str(first["message"]).startswith("two\nlines")
    assert "KeyError: 'k'" in str(second["traceback"])


def test_text_is_a_line_with_time_and_level(stderr: pytest.CaptureFixture[str]) -> None:
    logs.configure("text")
    logging.getLogger("framework.fifo").warning("item %d", 7, extra={"action": "x"})
    time, rest = written(stderr).split(" ", 1)
    dt.time.fromisoformat(time)
    assert rest == "WARNING item 7\n"


def test_it_goes_to_standard_error_once_however_often_it_is_configured(
    stderr: pytest.CaptureFixture[str],
) -> None:
    logs.configure("text")
    logs.configure("json")
    logging.getLogger("framework").info("once")
    assert len(lines(stderr)) == 1


def test_debug_and_the_chatter_of_libraries_are_left_out(stderr: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logging.getLogger("framework").debug("no")
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(name).info("no")
        logging.getLogger(name).warning("yes")
    assert [line["message"] for line in lines(stderr)] == ["yes"] * 3


UNSAFE = "\x7f\x85\x9b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069"


def test_what_forges_a_line_or_turns_it_round_is_escaped_in_both_formats(
    stderr: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json")
    logging.getLogger("framework").info("a%sü", UNSAFE, extra={"path": UNSAFE, "half": "\udc80"})
    text = written(stderr)
    assert not set(UNSAFE) & set(text)
    assert "ü" in text
    line = json.loads(text)
    assert (line["message"], line["path"], line["half"]) == (f"a{UNSAFE}ü", UNSAFE, "\udc80")
    logs.configure("text")
    logging.getLogger("framework").info("a%sü", UNSAFE)
    text = written(stderr)
    assert not set(UNSAFE) & set(text)
    assert r"a\x7f\x85\x9b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069ü" in text


def test_a_traceback_stands_in_a_field_of_its_own(stderr: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logging.getLogger("framework").error("it failed", extra={"traceback": "Traceback\n  File x\nKeyError"})
    [line] = lines(stderr)
    assert (line["message"], line["traceback"]) == ("it failed", "Traceback\n  File x\nKeyError")
    logs.configure("text")
    logging.getLogger("framework").error("it failed", extra={"traceback": "Traceback\n  File x\nKeyError"})
    assert written(stderr).endswith("it failed\n    Traceback\n      File x\n    KeyError\n")
