"""The transcript of the reference application, at a terminal, to the letter: only the ids may differ."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path

import pytest

import framework
from tests.acceptance.app import app
from tests.acceptance.conftest import Serve
from tests.acceptance.server import REFERENCE_APP, until
from tests.repl.conftest import Sit
from tests.repl.terminal import Terminal

TRANSCRIPT = (REFERENCE_APP / "transcript.txt").read_text(encoding="utf-8").splitlines()
TYPED = [line[4:] for line in TRANSCRIPT if line.startswith((">>> ", "... ")) or line == "..."]


def expected() -> list[str]:
    """The transcript with its ids masked, and with the blocks that it leaves out written out."""
    blocks = "\n".join(TRANSCRIPT)
    first = re.search(r"^OrderEntry:\n(?:  .*\n)+?  status: done$", blocks, re.MULTILINE)
    assert first is not None
    begin = TRANSCRIPT.index("OrderEntry:")
    end = TRANSCRIPT.index(">>> debug(False)")
    orders = [masked(first[0]).replace("hoge0", f"hoge{n}").splitlines() for n in range(5)]
    return [*TRANSCRIPT[:begin], *(line for order in orders for line in order), *TRANSCRIPT[end:]]


def masked(text: str) -> str:
    text = re.sub(r"(?m)^  instance: [A-Za-z0-9+/]+=*$", "  instance: ID", text)
    return re.sub(r"(?m)^  orderId: [0-9a-f]{32}$", "  orderId: ID", text)


def test_the_transcript_is_whole() -> None:
    assert TYPED[0] == "debug()"
    assert TYPED[-1] == "debug(False)"
    assert expected().count("OrderEntry:") == 5


@pytest.mark.parametrize(("term", "other_process"), [("dumb", True), ("xterm", False)])
def test_the_transcript_comes_out_to_the_letter(
    sit: Sit, serve: Serve, free_url: str, term: str, other_process: bool
) -> None:
    url = serve(REFERENCE_APP).url if other_process else free_url
    terminal = sit(url=url, term=term).prompt()
    terminal.clear()
    assert TYPED[:1] == ["debug()"]
    terminal.run(TYPED[0])
    assert terminal.run(*TYPED[1:-1]) == ["202"] * 5

    came = [arrival(terminal, number) for number in range(5)]
    between = [later - earlier for earlier, later in itertools.pairwise(came)]
    assert min(between) > 1.0, between  # one after the other, not all at once
    terminal.run(TYPED[-1])

    shown = masked(terminal.text()).splitlines()
    assert shown[shown.index(">>> debug()") :] == expected()


def arrival(terminal: Terminal, number: int) -> float:
    """When the block of this order is there, whole, with the prompt below it; the prompt can be used."""

    def there() -> bool:
        return terminal.text().count("  status: done") > number

    until(there, 40.0, what=terminal.text)
    now = time.monotonic()
    assert terminal.prompt().text().count(f"name: hoge{number}") == 1
    return now


def test_the_session_of_the_readme_is_real(sit: Sit, serve: Serve) -> None:
    """What it shows comes out as it stands there, but for the ids, and the address of the server."""
    root = Path(framework.__file__).parents[1]
    told = re.findall(r"```console\n(.*?)```", (root / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    first, second = (text for text in told if ">>> " in text)
    session = masked(first.partition("$ framework repl\n")[2] + second).splitlines()

    definitions = root / "definitions"
    server = serve(definitions)
    terminal = sit(url=server.url, folder=definitions).prompt()
    typed = [line[4:] for line in session if line.startswith((">>>", "..."))]
    terminal.run(typed[0])
    terminal.run(*typed[1:-1])
    terminal.run(typed[-1])
    until(lambda: terminal.text().count("status: done") == 2, what=terminal.text)
    shown = masked(terminal.text().replace(server.url, "http://127.0.0.1:9099")).splitlines()
    assert shown[: len(session)] == session


def test_the_prompt_is_usable_between_two_blocks(sit: Sit, serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path, work="await asyncio.sleep(0.3)\nqprint(entry)")
    server = serve(definitions)
    terminal = sit(url=server.url, folder=definitions).prompt()
    terminal.run("debug()")
    orders = [server.order(f"order{number}") for number in range(4)]
    terminal.see("order0")
    terminal.send("6 * ")
    terminal.see("order2")
    until(lambda: terminal.lines()[-1] == ">>> 6 *", what=terminal.text)
    assert terminal.finish("7")[-1] == "42"
    for order in orders:
        terminal.see(f"orderId: {order}")
