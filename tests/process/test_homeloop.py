"""A call from the event loop of another thread is refused before anything is done, with advice that works."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from framework.definitions import Definitions
from framework.errors import WrongLoop
from framework.serving.runtime import open_runtime

pytestmark = pytest.mark.anyio

Define = Callable[..., Definitions]

TEA = """
name: Tea
attributes:
  identifier: {field_name: teaId, field_type: string}
  local_fields:
  - {field_name: kind, field_type: string, field_default: green}
"""

OPEN = (
    "- proxy:\n    path: /open\n    authorization: {auth_mode: none}\n  request_forbidden_process: return 1\n"
)

# A function for each operation, in a module as a user writes it.
CALLS = """
name: calls
code: |
  there, conn_of = None, None

  async def put(): await FIFO("q").put(1)
  async def put_many(): await FIFO("q").put_many([1, 2])
  async def put_conn(): await FIFO("q").put(1, conn=conn_of)
  async def length(): await FIFO("q").length()
  async def peek(): await FIFO("q").peek()
  async def pause(): await FIFO("q").pause()
  async def resume(): await FIFO("q").resume()
  async def block():
      async with FIFO("q"):
          pass
  async def save(): await atom.Tea(teaId="new").save()
  async def save_conn(): await atom.Tea(teaId="new").save(conn=conn_of)
  async def change(): await there.save(kind="black")
  async def destroy(): await there.destroy()
  async def load(): await atom.Tea.load("there")
  async def retrieve(): await atom.Tea.retrieve()
  async def count(): await atom.Tea.count()
  async def iterate(): return [tea async for tea in atom.Tea.iterate()]
  async def aiodb():
      async with model.aiodb() as conn, conn.begin():
          await atom.Tea(teaId="new").save(conn=conn)
  async def begin():
      async with conn_of.begin():
          pass
  async def execute(): await conn_of.execute(sqlalchemy.delete(model.Tea))
  async def select_(): await conn_of.execute(sqlalchemy.select(model.Tea))
  async def inside(): await callout(path="/open")
  async def outside(): await callout(url="http://127.0.0.1:1/")

  async def in_a_thread(call):
      return await asyncio.to_thread(asyncio.run, call())

  async def by_the_advice(call):
      loop = asyncio.get_running_loop()
      def work():
          return asyncio.run_coroutine_threadsafe(call(), loop).result()
      return await asyncio.to_thread(work)
"""

NAMES = [
    line.split("def ")[1].split("(")[0] for line in CALLS.splitlines() if line.startswith("  async def ")
]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("in_a_thread", "by_the_advice")])
async def test_what_touches_the_storage_or_a_client_is_refused_on_another_loop(
    define: Define, url: str, name: str
) -> None:
    async with open_runtime(define(TEA, OPEN, CALLS), url) as (runtime, _):
        scope: Any = runtime.snapshot.scope
        calls, tea, fifo = scope["context"].calls, scope["atom"].Tea, scope["FIFO"]("q")
        calls.there = tea(teaId="there")
        await calls.there.save()
        async with scope["model"].aiodb() as conn:
            calls.conn_of = conn
            for _ in range(2):  # also where it was used on its own loop before
                with pytest.raises(WrongLoop, match="run_coroutine_threadsafe"):
                    await calls.in_a_thread(getattr(calls, name))
                assert await fifo.length() == 0
                assert [found.kind for found in await tea.retrieve()] == ["green"]
            await calls.by_the_advice(getattr(calls, name))


async def test_a_transaction_is_whole_where_a_thread_was_refused_in_it(define: Define, url: str) -> None:
    script = """
      await FIFO("q").put("first")
      try:
          await context.calls.in_a_thread(context.calls.put)
      except Exception as error:
          refused = type(error).__name__
      await FIFO("q").put("second")
      return refused
    """
    keys = "\n  request_forbidden_process: |" + script
    head = "- proxy:\n    path: /a\n    authorization: {auth_mode: none}\n  transaction: true"
    async with open_runtime(define(TEA, CALLS, head + keys), url) as (runtime, _):
        answer = await runtime.callout(path="/a")
        assert (answer.code, answer.body) == (200, b"WrongLoop")
        assert await runtime.snapshot.scope["FIFO"]("q").peek(5) == ["first", "second"]


async def test_a_forked_child_is_refused(define: Define, url: str) -> None:
    async with open_runtime(define(TEA, OPEN, CALLS), url) as (runtime, _):
        calls: Any = runtime.snapshot.scope["context"].calls
        for name in ("put", "load", "block", "inside"):
            child = os.fork()
            if child == 0:
                try:
                    asyncio.run(asyncio.wait_for(getattr(calls, name)(), 5))
                except WrongLoop as error:
                    os._exit(0 if "forked" in str(error) else 1)
                finally:
                    os._exit(2)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0, name
        assert await runtime.snapshot.scope["FIFO"]("q").length() == 0
