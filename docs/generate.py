"""Fills the generated parts of the documentation from the code: ``python docs/generate.py``.

A page marks such a part by two comments, ``<!-- generated: SECTION -->`` and ``<!-- end -->``; what stands
between them is written here. A test fails when a part is stale. ``--check`` only tells which page is.
"""

from __future__ import annotations

import ast
import dataclasses
import graphlib
import importlib
import inspect
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from framework.access import tokens
from framework.cli import main as command_line
from framework.definitions import check, load, render
from framework.definitions.kinds import Kind
from framework.definitions.problem import CODES
from framework.definitions.schema import schema_of
from framework.gateway import attempts, logon
from framework.gateway.wire import limits as gateway_limits
from framework.process import shutdown
from framework.queue import fifo, items
from framework.script import callout
from framework.serving import retention
from framework.transactions import transaction
from framework.values import durations
from framework.workers import reflector

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "framework"

PART = re.compile(r"(?m)^<!-- generated: (.+?) -->\n(.*?)^<!-- end -->$", re.DOTALL)

BROKEN = re.compile(r"^```yaml broken\n(.*?)^```$", re.MULTILINE | re.DOTALL)

BOOKKEEPING = ("category", "version", "created_at", "update", "workspace", "id")
"""Keys that every kind takes and that have no effect."""

NOT_IN_EFFECT: Mapping[Kind, tuple[str, ...]] = {
    "routing": ("proxy.scheme",),
}
"""Keys that are checked and do nothing yet. Take a key out when its part is built."""

LIMITS: tuple[tuple[str, object, str], ...] = (
    ("wait for an item when a FIFO block is entered", fifo.FIFO_WAIT, "s"),
    ("longest name of a FIFO", items.MAX_NAME_LENGTH, "characters"),
    ("longest key of a `put`", items.MAX_KEY_LENGTH, "characters"),
    ("a worker that found no item is called again after", reflector.WATCH_INTERVAL, "s"),
    ("wait after an error outside a FIFO block, at first", reflector.ERROR_WAIT_FIRST, "s"),
    ("the same, at most", reflector.ERROR_WAIT_LAST, "s"),
    ("work in progress may take this long at a stop, without `--stop-timeout`", shutdown.GRACE, "s"),
    ("a transaction may await other things for", transaction.TRANSACTION_HOLD, "s"),
    ("a token from `/-/logon` is valid for", logon.DEFAULT_EXPIRY, "s"),
    ("a token or role that was found stays valid without a new look-up for", tokens.BELIEVED_FOR, "s"),
    ("a failed logon waits for its answer, at first", attempts.FIRST_WAIT, "s"),
    ("the same, at most", attempts.LONGEST_WAIT, "s"),
    ("largest definition file", load.MAX_BYTES, "bytes"),
    ("`callout`: the code for no answer", callout.NO_ANSWER, ""),
)


class Key:
    """A key of a definition, as it is shown: its path from the top, its schema, whether it must be there."""

    def __init__(self, path: str, schema: Mapping[str, Any], required: bool) -> None:
        self.path = path
        self.schema = schema
        self.required = required


def keys_of(kind: Kind) -> list[Key]:
    """Every key of a kind, parents first."""
    return list(_keys(schema_of(kind), ""))


def _keys(schema: Mapping[str, Any], prefix: str) -> Iterator[Key]:
    for name, below in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield Key(path, below, name in schema.get("required", ()))
        yield from _keys(below, f"{path}.")
        yield from _keys(below.get("items", {}), f"{path}[].")
        if isinstance(below.get("additionalProperties"), dict):
            yield from _keys(below["additionalProperties"], f"{path}.NAME.")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


# ---- sections -------------------------------------------------------------------------------


def keys(kind: Kind, prefix: str = "") -> str:
    """The keys under a prefix (``attributes.identifier``), without those that another section has."""
    start = f"{prefix}." if prefix else ""
    others = [other for other in _prefixes(kind) if other.startswith(start) and other != prefix]
    rows = []
    for key in keys_of(kind):
        if not key.path.startswith(start) or any(key.path.startswith(f"{other}.") for other in others):
            continue
        if not prefix and key.path in BOOKKEEPING:
            continue
        rows.append((f"`{key.path.removeprefix(start)}`", _takes(key), _told(kind, key)))
    return _table(("key", "takes", "meaning"), rows)


def _prefixes(kind: Kind) -> list[str]:
    """The prefixes that have a section of their own on the page of definitions."""
    text = (DOCS / "definitions.md").read_text(encoding="utf-8")
    return re.findall(rf"^<!-- generated: keys {kind} (\S+) -->$", text, re.MULTILINE)


def _takes(key: Key) -> str:
    schema = key.schema
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    types = schema.get("type", "anything")
    return " or ".join([types] if isinstance(types, str) else types)


def _told(kind: Kind, key: Key) -> str:
    text = key.schema["description"]
    if "examples" in key.schema:
        text += " One of " + ", ".join(f"`{value}`" for value in key.schema["examples"]) + "."
    if key.required:
        text = f"**Required.** {text}"
    if "default" in key.schema:
        text += f" Default: `{_yaml(key.schema['default'])}`."
    if any(
        key.path == quiet or key.path.startswith((f"{quiet}.", f"{quiet}["))
        for quiet in NOT_IN_EFFECT.get(kind, ())
    ):
        text += " *No effect yet.*"
    return text


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def bookkeeping() -> str:
    """The keys that every kind takes."""
    properties = schema_of("atom")["properties"]
    return _table(
        ("key", "takes", "meaning"),
        (
            (f"`{name}`", _takes(Key(name, properties[name], False)), properties[name]["description"])
            for name in BOOKKEEPING
        ),
    )


def codes() -> str:
    """Every code of a mistake."""
    return _table(("code", "meaning"), ((f"`{code}`", meaning) for code, meaning in CODES.items()))


def limits() -> str:
    """The numbers that are built in."""
    return _table(
        ("what", "value"),
        (
            (what, f"{value:,} {unit}".strip() if not isinstance(value, float) else f"{value:g} {unit}")
            for what, value, unit in LIMITS
        ),
    )


def variables() -> str:
    """The limits of the server that the environment sets."""
    rows = []
    for limit in dataclasses.fields(gateway_limits.Limits):
        default = limit.default
        shown = f"{default:g}" if isinstance(default, float) else f"{default:,}"
        unit = limit.metadata["unit"]
        rows.append(
            (f"`{gateway_limits.variable(limit)}`", f"{shown} {unit}".strip(), limit.metadata["told"])
        )
    return _table(("variable", "default", "limit"), rows)


def kept() -> str:
    """How long what grows for ever is kept."""
    rows = [
        (f"`{retention.variable(one)}`", f"`{durations.shown(one.default)}`", one.metadata["told"])
        for one in dataclasses.fields(retention.Retention)
    ]
    return _table(("variable", "default", "what is kept"), rows)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by what one types for it."""
    yield from _commands(command_line, "framework")


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield name, command
    if isinstance(command, click.Group):
        for below, found in sorted(command.commands.items()):
            yield from _commands(found, f"{name} {below}")


def command(*words: str) -> str:
    """What ``--help`` says of one command."""
    name = " ".join(words)
    found = dict(commands())[name]
    usage = " ".join([name, *_pieces(found)])
    rows = [row for parameter in found.params for row in _option(parameter)]
    parts = [f"```text\n{usage}\n```", _help(found)]
    if rows:
        parts.append(_table(("option", "meaning"), rows))
    return "\n\n".join(parts)


def _pieces(found: click.Command) -> list[str]:
    arguments = [parameter for parameter in found.params if isinstance(parameter, click.Argument)]
    return ["[OPTIONS]", *(argument.metavar or str(argument.name).upper() for argument in arguments)]


def _help(found: click.Command) -> str:
    parts = inspect.cleandoc(found.help or "").split("\n\n")
    return "\n\n".join(
        "```text\n" + part.removeprefix("\b\n") + "\n```" if part.startswith("\b") else part for part in parts
    )


def _option(parameter: click.Parameter) -> Iterator[tuple[str, str]]:
    if not isinstance(parameter, click.Option):
        return
    about = parameter.to_info_dict()
    shown = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if not parameter.is_flag:
        shown += f" {parameter.metavar or _metavar(parameter.type)}"
    text = parameter.help or ""
    if parameter.show_default and not parameter.is_flag:
        default = about["default"]
        text += f" Default: `{default}`."
    if parameter.envvar:
        text += f" Environment: `{parameter.envvar}`."
    yield f"`{shown}`", text.strip()


def _metavar(type_: click.ParamType) -> str:
    return (
        "|".join(type_.choices)
        if isinstance(type_, click.Choice)
        else type_.name.upper().replace(" RANGE", "")
    )


def _imports() -> dict[str, set[str]]:
    """Each package, or module at the top, with those that it imports from."""
    found: dict[str, set[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                used = {part.split(".")[1] for part in whole if part.startswith("framework.")}
                found.setdefault(name, set()).update(used - {name, "__version__"})
    return {name: used for name, used in found.items() if name not in ("__init__", "__main__")}


def _floors(below: Mapping[str, set[str]]) -> list[list[str]]:
    """The packages, lowest first: each stands as low as it can."""
    sorter = graphlib.TopologicalSorter(below)
    sorter.prepare()
    storeys = []
    while sorter.is_active():
        storey = sorter.get_ready()
        storeys.append(sorted(storey))
        sorter.done(*storey)
    return storeys


def floors() -> str:
    """The packages by floors, the highest first."""
    storeys = ["   ".join(storey) for storey in reversed(_floors(_imports()))]
    wide = max(map(len, storeys))
    return "\n".join(["```text", *(storey.center(wide + 4).rstrip() for storey in storeys), "```"])


def packages() -> str:
    """What lives in each package, and from which others it imports."""
    below = _imports()
    rows = []
    for name in (name for storey in reversed(_floors(below)) for name in storey):
        told = (inspect.getdoc(importlib.import_module(f"framework.{name}")) or "").partition("\n")[0]
        rows.append((f"`{name}`", told, ", ".join(f"`{used}`" for used in sorted(below[name]))))
    return _table(("package", "what lives there", "imports from"), rows)


def mistake(before: str) -> str:
    """What ``framework check app`` says of the last ``yaml broken`` snippet before this place."""
    snippet = BROKEN.findall(before)[-1]
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            Path("app").mkdir()
            Path("app/tea.yaml").write_text(snippet, encoding="utf-8")
            text = render(check("app", environ={}), "text")
        finally:
            os.chdir(home)
    return f"```text\n{text.rpartition(chr(10) * 2)[0]}\n```"


SECTIONS: Mapping[str, Callable[..., str]] = {
    "keys": keys,
    "bookkeeping": bookkeeping,
    "codes": codes,
    "limits": limits,
    "variables": variables,
    "kept": kept,
    "command": command,
    "mistake": mistake,
    "floors": floors,
    "packages": packages,
}


# ---- pages ----------------------------------------------------------------------------------


def filled(text: str) -> str:
    """A page with its generated parts as they should be."""

    def fill(found: re.Match[str]) -> str:
        section, *arguments = found[1].split()
        if section == "mistake":
            arguments = [text[: found.start()]]
        return f"<!-- generated: {found[1]} -->\n{SECTIONS[section](*arguments)}\n<!-- end -->"

    return PART.sub(fill, text)


def stale() -> list[Path]:
    """The pages whose generated parts are not what the code says."""
    return [
        page
        for page in sorted(DOCS.glob("*.md"))
        if filled(page.read_text("utf-8")) != page.read_text("utf-8")
    ]


def main() -> int:
    pages = stale()
    for page in pages:
        print(f"{page.name}: {'stale' if '--check' in sys.argv else 'written'}")
        if "--check" not in sys.argv:
            page.write_text(filled(page.read_text("utf-8")), "utf-8")
    return int(bool(pages) and "--check" in sys.argv)


if __name__ == "__main__":
    raise SystemExit(main())
