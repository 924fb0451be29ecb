"""``framework repl < script.txt``: no prompts, and an exit code that tells whether it went well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import Serve
from tests.acceptance.server import REFERENCE_APP, Result, run
from tests.repl.conftest import DATABASE

Ask = Callable[[str], Result]


@pytest.fixture
def ask(serve: Serve, tmp_path: Path) -> Ask:
    server = serve(REFERENCE_APP)

    def ask(script: str) -> Result:
        return run(
            "repl", REFERENCE_APP, "--database", DATABASE, "--url", server.url, cwd=tmp_path, stdin=script
        )

    return ask


def test_a_script_shows_what_its_expressions_give(ask: Ask) -> None:
    done = ask(
        "x = 20\nx + 1\n\ndef f():\n    a = 1\n\n    return a\nf()\nprint(await asyncio.sleep(0, 'x'))\n"
    )
    assert (done.code, done.out, done.err) == (0, "21\n1\nx\n", "")


def test_the_first_statement_that_raises_ends_it_with_its_line(ask: Ask) -> None:
    done = ask("print('before')\n\ndef f():\n    return 1 / 0\n\nf()\nprint('after')\n")
    assert done.code == 1
    assert done.out == "before\n"
    assert "ZeroDivisionError: division by zero" in done.err
    assert done.err.endswith("framework: the input failed at line 6; nothing after it was run\n")


def test_a_syntax_error_anywhere_runs_nothing(ask: Ask) -> None:
    done = ask("print('before')\nx = = 1\n")
    assert (done.code, done.out) == (1, "")
    assert "SyntaxError" in done.err
    assert "at line 2" in done.err


@pytest.mark.parametrize(("leave", "code"), [("exit(3)", 3), ("raise SystemExit", 0), ("exit('why')", 1)])
def test_a_script_leaves_with_the_code_that_it_gives(ask: Ask, leave: str, code: int) -> None:
    done = ask(f"{leave}\nprint('after')\n")
    assert (done.code, done.out) == (code, "")


def test_nothing_is_fine(ask: Ask) -> None:
    assert ask("") == Result(0, "", "")


def test_debug_works_in_a_script(ask: Ask) -> None:
    done = ask("debug()\nqprint(MU(a=1))\ndebug(False)\n")
    assert done.out == (
        "Disconnected the currently subscribed channel and connected to the debug channel "
        "['xaas.southbound.channel']\ndebug channel connected\na: 1\ndebug channel disconnected\n"
    )
