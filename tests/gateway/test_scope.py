"""What scripts see without importing it."""

from __future__ import annotations

import logging

import pytest

from .client import THING, route
from .conftest import Serving

pytestmark = pytest.mark.anyio

OBJECTS = (
    "atom model FIFO MU callout qprint Cache Runtime context logger HTTPError Error ValidationError Duplicate "
    "Gone Reject Retry GET POST PUT PATCH DELETE HEAD OPTIONS io re time uuid json datetime copy base64 "
    "ipaddress urllib asyncio sqlalchemy jsonschema and_ or_ not_ join select"
)
GIVEN = "request resources parameters route finish session"


async def test_a_routing_script_sees_every_built_in_object(serving: Serving) -> None:
    names = ", ".join(f"{name!r}: {name}" for name in f"{OBJECTS} {GIVEN}".split())
    script = f"seen = {{{names}}}\nreturn [name for name, value in seen.items() if value is None]"
    async with serving(THING, route("/a", script)) as client:
        answer = await client.get("/a")
    assert (answer.code, answer.body) == (200, b"[]")


async def test_a_module_and_a_worker_see_them_too(serving: Serving) -> None:
    names = f"({', '.join(OBJECTS.split())})"
    module = f"name: shared\ncode: |\n  def count():\n      return len({names})\n"
    worker = f"name: W\nmode: multi\nscript: |\n  qprint(len({names}))\n  async def consume():\n      pass\n"
    script = "return context.shared.count()"
    async with serving(module, worker, route("/a", script), workers=True) as client:
        assert (await client.get("/a")).json() == len(OBJECTS.split())


async def test_each_request_begins_afresh_but_modules_keep_what_they_hold(serving: Serving) -> None:
    module = (
        "name: counter\ncode: |\n  seen = []\n  def add(x):\n      seen.append(x)\n      return len(seen)\n"
    )
    script = "n = context.counter.add(1)\nglobal kept\nkept = n\nreturn n"
    async with serving(module, route("/a", script), route("/b", "return context.counter.seen")) as client:
        assert [(await client.get("/a")).json() for _ in range(3)] == [1, 2, 3]
        assert (await client.get("/b")).json() == [1, 1, 1]


async def test_modules_use_each_other_and_the_classes(serving: Serving) -> None:
    first = "name: first\ncode: |\n  async def make(key):\n      return await context.second.make(key)\n"
    second = (
        "name: second\ncode: |\n  async def make(key):\n"
        "      await atom.Thing(key=key).save()\n      return await atom.Thing.load(key)\n"
    )
    async with serving(THING, first, second, route("/a", "return await context.first.make('k')")) as client:
        made = (await client.get("/a")).json()
    assert (made["key"], made["number"]) == ("k", 1)


async def test_settings_come_from_the_environment(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMEWORK_SETTING_BACKEND", "http://backend.test")
    monkeypatch.setenv("FRAMEWORK_SETTING_SECRET", "4711")
    script = "s = context.settings\nreturn [s.BACKEND, s.get('NONE', 'x'), 'BACKEND' in s, repr(s)]"
    async with serving(route("/a", script)) as client:
        backend, default, known, shown = (await client.get("/a")).json()
    assert (backend, default, known) == ("http://backend.test", "x", True)
    assert "BACKEND" in shown
    assert "4711" not in shown


async def test_a_missing_setting_is_named_in_the_log_with_what_was_meant(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FRAMEWORK_SETTING_BACKEND", "x")
    async with serving(route("/a", "return context.settings.BACKENT")) as client:
        assert (await client.get("/a")).code == 500
    assert "FRAMEWORK_SETTING_BACKENT" in caplog.text
    assert "did you mean BACKEND" in caplog.text


async def test_the_logger_writes_to_the_log(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with serving(route("/a", "logger.info('order %s', 7)\nreturn 1")) as client:
            await client.get("/a")
    assert "order 7" in [record.getMessage() for record in caplog.records]


async def test_qprint_goes_to_every_listener_and_never_fails(serving: Serving) -> None:
    script = (
        "class Bad:\n    def __repr__(self):\n        raise RuntimeError\nqprint(Bad())\nqprint({'a': 1})"
    )
    printed: list[list[str]] = [[], []]

    def broken(text: str) -> None:
        raise OSError("the terminal is gone")

    async with serving(route("/a", script)) as client:
        client.runtime.debug.listen(printed[0].append)
        client.runtime.debug.listen(broken)
        client.runtime.debug.listen(printed[1].append)
        assert (await client.get("/a")).code == 200
    assert printed[0] == printed[1]
    assert printed[0][1] == "{'a': 1}"


async def test_a_cache_is_one_for_all_scripts(serving: Serving) -> None:
    put = route("/put", "await Cache('k').put({'a': 1})\nreturn 1")
    get = route("/get", "return await Cache('k').get()")
    async with serving(put, get) as client:
        await client.get("/put")
        assert (await client.get("/get")).json() == {"a": 1}
