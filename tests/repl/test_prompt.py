"""What is typed is run as it was written, on a terminal that can do everything and on one that can nothing."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.server import REFERENCE_APP, until
from tests.repl.conftest import DATABASE, free_port
from tests.repl.terminal import Terminal

CTRL_C, CTRL_D = "\x03", "\x04"


@pytest.fixture(scope="module", params=["xterm", "dumb"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """One session for all tests, with a server of its own: each begins at an empty prompt."""
    folder = tmp_path_factory.mktemp(request.param)
    url = f"http://127.0.0.1:{free_port()}"
    terminal = Terminal(REFERENCE_APP, "--database", DATABASE, "--url", url, cwd=folder, term=request.param)
    terminal.prompt()
    yield terminal
    terminal.close()


@pytest.fixture
def terminal(session: Terminal) -> Terminal:
    if not session.at_prompt():  # a test that failed has left something there
        session.send(CTRL_C)
    session.prompt()
    session.clear()
    return session


# What only one kind of terminal has.
WITH_EDITOR = pytest.mark.parametrize("session", ["xterm"], indirect=True)
DUMB = pytest.mark.parametrize("session", ["dumb"], indirect=True)


def is_dumb(terminal: Terminal) -> bool:
    return terminal.term == "dumb"


# ---- expressions and blocks -----------------------------------------------------------------


def test_an_expression_is_echoed_and_kept(terminal: Terminal) -> None:
    assert terminal.run("'a' + 'b'") == ["'ab'"]
    assert terminal.run("_ * 2") == ["'abab'"]
    assert terminal.run("None") == []
    assert terminal.run("x = 1") == []


def test_await_stands_at_the_top(terminal: Terminal) -> None:
    assert terminal.run("await asyncio.sleep(0, 'slept')") == ["'slept'"]
    assert terminal.run("[await asyncio.sleep(0, n) for n in range(3)]") == ["[0, 1, 2]"]


def test_await_stands_in_loops_and_asynchronous_comprehensions(terminal: Terminal) -> None:
    assert (
        terminal.run(
            "async def count():", "    for n in range(2):", "        yield await asyncio.sleep(0, n)", ""
        )
        == []
    )
    assert terminal.run("[n async for n in count()]") == ["[0, 1]"]
    assert terminal.run("async for n in count():", "    n", "") == ["0", "1"]


def test_an_empty_line_ends_a_block_and_nothing_else_is_added(terminal: Terminal) -> None:
    assert terminal.run("if True:", "  if True:", "     print('inner')", "  print('outer')", "") == [
        "inner",
        "outer",
    ]
    assert terminal.since(">>> if True:")[:5] == [
        ">>> if True:",
        "...   if True:",
        "...      print('inner')",
        "...   print('outer')",
        "...",
    ]


def test_a_block_without_a_body_is_told_at_the_empty_line(terminal: Terminal) -> None:
    assert terminal.run("for n in range(3):", "")[-1].startswith(
        "IndentationError: expected an indented block"
    )


PASTED = (
    "for n in range(2):\n    if n:\n\tprint('tab')\n    else:\n        print('spaces')\n\nprint('after')\n"
)


@pytest.mark.parametrize("bracketed", [True, False], ids=["bracketed", "plain"])
def test_a_pasted_block_runs_as_it_was_written(terminal: Terminal, bracketed: bool) -> None:
    text = PASTED.replace("\t", " " * 8)
    if bracketed:
        terminal.paste(text)
    else:
        terminal.send(text.replace("\n", "\r"))
    until(lambda: "after" in terminal.lines(), what=terminal.text)
    shown = [line for line in terminal.lines() if line in ("tab", "spaces", "after")]
    assert shown == ["spaces", "tab", "after"]


@pytest.mark.parametrize("bracketed", [True, False], ids=["bracketed", "plain"])
def test_tabs_of_a_paste_stay_tabs(terminal: Terminal, bracketed: bool) -> None:
    text = "def f():\n\treturn '''a\n\tb'''\n\nf()\n"
    if bracketed:
        terminal.paste(text)
    else:
        terminal.send(text.replace("\n", "\r"))
    until(lambda: "'a\\n\\tb'" in terminal.lines(), what=terminal.text)


def test_a_long_text_and_a_bracket_may_hold_empty_lines(terminal: Terminal) -> None:
    assert terminal.run("text = '''one", "", "two'''; len([", "", "text])") == ["1"]
    assert terminal.run("text") == ["'one\\n\\ntwo'"]


def test_a_syntax_error_is_shown_with_its_place(terminal: Terminal) -> None:
    assert terminal.run("1 +* 2")[-3:] == ["    1 +* 2", "       ^", "SyntaxError: invalid syntax"]
    assert terminal.run("return 3")[1:3] == ["    return 3", "    ^^^^^^^^"]


# ---- tracebacks -----------------------------------------------------------------------------


def test_a_traceback_ends_at_the_users_line(terminal: Terminal) -> None:
    shown = terminal.run("await atom.OrderEntry(status='lost').save()")
    assert shown[0] == "Traceback (most recent call last):"
    assert shown[2] == "    await atom.OrderEntry(status='lost').save()"
    assert [line for line in shown if line.startswith("  File ")] == [shown[1]]
    assert shown[1].startswith('  File "<input ')
    assert shown[-1].startswith("framework.errors.ValidationError: OrderEntry.status")


def test_a_traceback_shows_the_functions_of_the_user_with_their_source(terminal: Terminal) -> None:
    terminal.run("def inner():", "    return json.loads('{')", "")
    shown = terminal.run("inner()")
    assert [line.strip() for line in shown if line.startswith("    ") and "^" not in line] == [
        "inner()",
        "return json.loads('{')",
    ]
    assert "json/decoder" not in "\n".join(shown)


def test_a_coroutine_that_nobody_awaits_is_explained(terminal: Terminal) -> None:
    shown = terminal.run("asyncio.sleep(0)")
    assert shown[0].startswith("<coroutine object sleep")
    assert "write `await` before it" in shown[1]
    assert terminal.run("await _") == []


# ---- Ctrl-C and Ctrl-D ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "await asyncio.sleep(600)",
        "while True: pass",
        "time.sleep(600)",
        "while True: found = await atom.OrderEntry.load('none')",  # such a look-up never lets the loop turn
        "while True: found = await FIFO('busy').length()",
    ],
)
def test_ctrl_c_stops_the_statement_and_not_the_session(terminal: Terminal, statement: str) -> None:
    terminal.run("kept = 1")
    for line in ("if True:", "    print('begun')", f"    {statement}", ""):
        terminal.line(line)
    until(lambda: "begun" in terminal.lines(), what=terminal.text)
    terminal.interrupt()
    assert terminal.run("kept") == ["1"]


def test_a_statement_that_does_not_end_is_left_behind_at_the_third_ctrl_c(terminal: Terminal) -> None:
    for line in (
        "stay = True",
        "while stay:",
        "    try:",
        "        print('waits')",
        "        await asyncio.sleep(60)",
        "    except asyncio.CancelledError:",
        "        print('no')",
        "",
    ):
        terminal.line(line)
    for times in range(3):
        until(lambda times=times: terminal.lines().count("waits") > times, what=terminal.text)
        terminal.send(CTRL_C)
        until(lambda times=times: terminal.lines().count("no") > times, what=terminal.text)
    terminal.see("it goes on in the background")
    assert terminal.run("stay = False") == []


def test_ctrl_c_at_the_prompt_clears_the_line(terminal: Terminal) -> None:
    terminal.send("raise SystemExit(")
    terminal.see(">>> raise SystemExit(")
    terminal.send(CTRL_C)
    terminal.prompt()
    assert terminal.run("1 + 1") == ["2"]
    terminal.line("if True:")
    until(lambda: terminal.lines()[-1] == "...", what=terminal.text)
    terminal.send(CTRL_C)
    terminal.prompt()
    assert terminal.run("2 + 2") == ["4"]


def test_a_task_in_the_background_that_blocks_is_stopped_by_ctrl_c_at_the_prompt(terminal: Terminal) -> None:
    terminal.run(
        "async def block():",
        "    await asyncio.sleep(0.2)",
        "    open('blocked', 'w').close()",
        "    while True: pass",
        "",
    )
    terminal.run("task = asyncio.create_task(block())")
    until(lambda: (terminal.folder / "blocked").exists(), what=terminal.text)
    terminal.send(CTRL_C)
    assert terminal.run("task.done()") == ["True"]
    assert terminal.run("type(task.exception())") == ["<class 'KeyboardInterrupt'>"]


# ---- what goes on while the prompt waits ----------------------------------------------------


def test_a_task_in_the_background_runs_while_the_prompt_waits(terminal: Terminal) -> None:
    terminal.run(
        "async def tick():",
        "    for n in range(3):",
        "        await asyncio.sleep(0.2)",
        "        print('tick', n)",
        "",
    )
    terminal.line("task = asyncio.create_task(tick())")
    terminal.send("'half typed")
    shown = ["tick 0", "tick 1", "tick 2", ">>> 'half typed"]
    until(lambda: terminal.lines()[-4:] == shown, what=terminal.text)
    assert terminal.finish("'") == ["'half typed'"]


def test_a_statement_that_stops_the_loop_does_not_end_the_session(terminal: Terminal) -> None:
    assert terminal.run("asyncio.get_running_loop().stop()") == []
    assert terminal.run("await asyncio.sleep(0.01, 'goes on')") == ["'goes on'"]


def test_variables_of_the_context_live_on_and_claims_do_not(terminal: Terminal) -> None:
    terminal.run("import contextvars; var = contextvars.ContextVar('var')")
    terminal.run("token = var.set('kept')")
    assert terminal.run("var.get()") == ["'kept'"]
    terminal.run("item_id = await FIFO('leak').put({'n': 1})")
    shown = terminal.run("item = await FIFO('leak').__aenter__()")
    assert shown == ["FIFO leak: its block ended with the statement; the item is offered again"]
    # Were the claim still there, this would be a block inside a block.
    assert terminal.run("async with FIFO('leak') as item:", "    print(item.n)", "") == ["1"]
    assert terminal.run("await FIFO('leak').length()") == ["0"]


def test_a_transaction_ends_with_its_statement(terminal: Terminal) -> None:
    typed = (
        "if True:",
        "    order = atom.OrderEntry()",
        "    conn = await model.aiodb().__aenter__()",
        "    tran = await conn.begin().__aenter__()",
        "    saved = await order.save(conn=conn)",
    )
    assert terminal.run(*typed, "") == []
    assert terminal.run("await atom.OrderEntry.load(order.orderId)") == []  # it was rolled back
    assert terminal.run("saved = await order.save()") == []  # and nobody waits for its end


def test_blocks_and_transactions_work_together(terminal: Terminal) -> None:
    terminal.run("await FIFO('both').put({'name': 'x'})")
    typed = (
        "fifo = FIFO('both')",
        "async with fifo as item:",
        "    async with model.aiodb() as conn:",
        "        async with conn.begin() as tran:",
        "            order = atom.OrderEntry(parameters=item)",
        "            saved = await order.save(conn=conn)",
        "            await fifo.ack(conn=conn)",
    )
    assert terminal.run(*typed, "") == []
    assert terminal.run("(await atom.OrderEntry.load(order.orderId)).parameters") == ["{'name': 'x'}"]
    assert terminal.run("await FIFO('both').length()") == ["0"]


# ---- what is in scope -----------------------------------------------------------------------


def test_what_scripts_see_is_in_scope(terminal: Terminal) -> None:
    assert terminal.run("POST, DELETE") == ["('POST', 'DELETE')"]
    assert terminal.run("MU(a=1).a, Runtime.running(), json.dumps({}), context.settings") == [
        "(1, True, '{}', Settings())"
    ]
    assert terminal.run("model.OrderEntry.name") == ["'OrderEntry'"]


def test_help_teaches_what_there_is(terminal: Terminal) -> None:
    terminal.run("await FIFO('teas').put(1)")
    shown = terminal.run("help")
    assert "  atom.OrderEntry(orderId, parameters, status)" in shown
    assert '  await callout(path="/v1/orders/")   # /v1/orders/{orderId}' in shown
    assert "  teas" in shown
    assert any(line.startswith("  debug()") for line in shown)
    about = [line.split() for line in terminal.run("help(atom.OrderEntry)")]
    assert about[1] == ["orderId", "string", "identifier,", "not", "null,", "immutable"]
    assert any("Put any JSON value" in line for line in terminal.run("help(FIFO('x').put)"))
    terminal.clear()
    about_callout = terminal.run("help(callout)")
    assert about_callout[0].startswith("await callout(path=None, method='GET', body=None")
    assert "It gives a Response:" in about_callout
    assert "  await .put(item, key=None, conn=None)" in terminal.run("help(FIFO)")
    assert terminal.run("help(debug)")[0] == "debug(on=True)"
    assert terminal.run("help('nothing of this name')")[0].startswith("No Python documentation found")


def test_callout_goes_to_the_server_with_a_token_of_its_own(terminal: Terminal) -> None:
    terminal.run("r = await callout(path='/v1/orders/', response_jsonify=True)")
    assert terminal.run("r.code, type(r.body)") == ["(200, <class 'list'>)"]
    # The route asks for a token, so there is one.
    assert terminal.run("(await callout(path='/v1/orders/', headers={'X-Auth-Token': 'x'})).code") == ["401"]


def test_a_callout_in_a_transaction_is_refused_at_once(terminal: Terminal) -> None:
    typed = (
        "async with model.aiodb() as conn:",
        "    async with conn.begin() as tran:",
        "        await callout(path='/v1/orders/')",
    )
    assert "TransactionHeld" in terminal.run(*typed, "")[-1]


def test_traceon_shows_the_statements_with_their_time(terminal: Terminal) -> None:
    terminal.run("order = atom.OrderEntry(parameters={'secret': 'x' * 100})")
    assert "traceoff() ends it" in terminal.run("traceon()")[0]
    shown = terminal.run("saved = await order.save()")
    insert = next(line for line in shown if "INSERT INTO" in line)
    assert insert.split()[1] == "ms"
    assert any(line.endswith("COMMIT") for line in shown)
    assert not any("x" * 100 in line for line in shown)  # long values are cut
    assert any("SELECT" in line for line in terminal.run("await atom.OrderEntry.load(order.orderId)"))
    terminal.run("traceoff()")
    assert terminal.run("await atom.OrderEntry.load('none')") == []


def test_profon_shows_where_the_time_went(terminal: Terminal) -> None:
    terminal.run("profon()")
    terminal.run("def slow():", "    return sum(n * n for n in range(300000))", "")
    terminal.run("total = slow()")
    shown = terminal.run("profoff()")
    assert shown[0].split() == ["calls", "own", "s", "all", "s", "function"]
    assert any("slow (<input" in line for line in shown)
    assert not any("/repl/" in line or "asyncio" in line for line in shown), shown
    assert terminal.run("profoff()") == ["not profiling; profon() begins it"]


def test_debug_says_what_it_does(terminal: Terminal) -> None:
    connected = [
        "Disconnected the currently subscribed channel and connected to the debug channel "
        "['xaas.southbound.channel']",
        "debug channel connected",
    ]
    assert terminal.run("debug()") == connected
    assert terminal.run("debug()") == connected
    assert terminal.run("qprint({'a': 1})") == ["{'a': 1}"]
    assert terminal.run("qprint(MU(b=1))") == ["b: 1"]
    assert terminal.run("debug(False)") == ["debug channel disconnected"]
    assert terminal.run("qprint('unheard')") == []
    assert terminal.run("debug(False)") == ["debug channel disconnected"]


def test_input_reads_a_line_of_the_terminal(terminal: Terminal) -> None:
    terminal.line("answer = input('really? ')")
    terminal.see("really?")
    time.sleep(0.2)
    terminal.line("yes")
    terminal.prompt()
    assert terminal.run("answer") == ["'yes'"]


# ---- the editor of terminals that can do more -----------------------------------------------


@pytest.mark.parametrize(
    ("begun", "completed"),
    [
        ("ato", "atom"),
        ("atom.Ord", "atom.OrderEntry"),
        ("atom.OrderEntry.retr", "atom.OrderEntry.retrieve"),
        ("atom.OrderEntry(par", "atom.OrderEntry(parameters="),
        ("atom.OrderEntry(parameters={}, stat", "atom.OrderEntry(parameters={}, status="),
        ("await FIFO('some-lo", "await FIFO('some-long-name"),
    ],
)
@WITH_EDITOR
def test_tab_completes(terminal: Terminal, begun: str, completed: str) -> None:
    terminal.run("await FIFO('some-long-name').put(1)")
    terminal.send(begun + "\t")
    until(lambda: terminal.lines()[-1] == f">>> {completed}", what=terminal.text)
    terminal.send(CTRL_C)
    terminal.prompt()


@WITH_EDITOR
def test_the_arrow_brings_a_whole_block_back(terminal: Terminal) -> None:
    assert terminal.run("for n in range(2):", "    print('again', n)", "") == ["again 0", "again 1"]
    terminal.clear()
    terminal.send("\x1b[A")
    terminal.see("...     print('again', n)")
    terminal.send("\r")
    assert terminal.finish("") == ["again 0", "again 1"]


@pytest.mark.parametrize("leave", [CTRL_C, "\r", "signal"])
@WITH_EDITOR
def test_a_search_in_the_history_can_be_left(terminal: Terminal, leave: str) -> None:
    terminal.run("'a needle'")
    terminal.clear()
    terminal.send("\x12needl")
    terminal.see("needl")
    terminal.see(">>> 'a needle'")
    if leave == "signal":
        terminal.signal(signal.SIGINT)
    else:
        terminal.send(leave)
    if leave == "\r":
        until(lambda: terminal.lines()[-1] == ">>> 'a needle'", what=terminal.text)
        assert terminal.finish("")[-1] == "'a needle'"
    terminal.prompt()
    assert terminal.run("6 * 7")[-1] == "42"


@WITH_EDITOR
def test_what_is_typed_is_coloured_and_output_is_not(terminal: Terminal) -> None:
    before = len(terminal.raw)
    terminal.run("print('while')")
    raw = terminal.raw[before:]
    assert re.search(r"\x1b\[[0-9;]*38;5;\d+m'while'", raw), raw
    assert "while\r\n" in raw


@WITH_EDITOR
def test_the_history_is_a_file_that_others_cannot_read(terminal: Terminal) -> None:
    terminal.run("'remembered'")
    history = terminal.folder / "state" / "framework" / "repl_history"
    until(lambda: "+'remembered'" in history.read_text())
    assert history.stat().st_mode & 0o777 == 0o600
    assert history.parent.stat().st_mode & 0o777 == 0o700


# ---- the end --------------------------------------------------------------------------------


@DUMB
def test_a_dumb_line_can_be_corrected(terminal: Terminal) -> None:
    terminal.send("wrong words\x17\x7f\x7f\x15")
    assert terminal.run("1 + 3\x7f2") == ["3"]


def test_the_session_can_be_stopped_and_goes_on(terminal: Terminal) -> None:
    terminal.send("1 + ")
    terminal.see(">>> 1 +")
    os.kill(terminal.pid, 19)  # SIGSTOP
    time.sleep(0.2)
    os.kill(terminal.pid, 18)  # SIGCONT
    if is_dumb(terminal):  # the line is shown again
        until(lambda: terminal.lines().count(">>> 1 +") == 2, what=terminal.text)
    assert terminal.finish("5") == ["6"]


@pytest.mark.parametrize("term", ["xterm", "dumb"])
@pytest.mark.parametrize(
    ("typed", "code"),
    [(CTRL_D, 0), ("exit\r", 0), ("quit()\r", 0), ("exit(3)\r", 3), ("raise SystemExit(4)\r", 4)],
)
def test_leaving(sit: object, serve: object, term: str, typed: str, code: int) -> None:
    server = serve(REFERENCE_APP)  # type: ignore[operator]
    terminal = sit(url=server.url, term=term).prompt()  # type: ignore[operator]
    terminal.send(typed)
    assert terminal.wait() == code


STUBBORN = """async def stubborn():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
"""


@pytest.mark.parametrize(
    "left_running",
    [f"{STUBBORN}\ntask = asyncio.create_task(stubborn())", "work = asyncio.to_thread(time.sleep, 60)"],
)
def test_nothing_that_is_left_running_keeps_the_session(
    sit: object, serve: object, left_running: str
) -> None:
    server = serve(REFERENCE_APP)  # type: ignore[operator]
    terminal = sit(url=server.url, term="dumb").prompt()  # type: ignore[operator]
    terminal.run(*left_running.split("\n"))
    terminal.run(
        "begun = asyncio.ensure_future(work)" if "work" in left_running else "await asyncio.sleep(0)"
    )
    terminal.send(CTRL_D)
    assert terminal.wait(20.0) == 0
    assert "Task was destroyed" not in terminal.text()


def test_the_history_lives_on(sit: object, serve: object, tmp_path: Path) -> None:
    server = serve(REFERENCE_APP)  # type: ignore[operator]
    for typed in (True, False):
        terminal = sit(url=server.url).prompt()  # type: ignore[operator]
        if typed:
            assert terminal.run("'old'") == ["'old'"]
        else:
            terminal.send("\x1b[A")
            terminal.see(">>> 'old'")
            terminal.send(CTRL_C)
            terminal.prompt()
        terminal.send(CTRL_D)
        assert terminal.wait() == 0
