"""Reads a folder of YAML into located definitions, before their meaning is known.

The rule: one bad file never hides another. Whatever cannot be read is a problem with a location. The names that a
broken file was going to define are remembered, so that no flood of "no such class" follows.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from .locate import documents
from .location import Location
from .nodes import ListNode, MapNode, Node, ScalarNode
from .problem import CannotRun, Report, quoted
from .source import Source

MAX_BYTES = 1024 * 1024
"""How long a file may be."""

SUFFIXES = (".yaml", ".yml")
"""How the name of a definition file ends, in capitals or not."""

_ALMOST = re.compile(r"\.(ya?ml(\.te?xt|\s+)|ymal|yalm|yam|yaml\d)$", re.IGNORECASE)
"""Names that were probably meant to end so. What editors leave behind (`.yaml~`, `.yaml.bak`) is none of them."""

_NAME_LINE = re.compile(r"""^(?:- |  )?\s{0,2}(?:name|fifo):\s*["']?([^\s"'#]+)""", re.MULTILINE)


@dataclass(slots=True)
class Loaded:
    """The content of a folder. `broken` are names that could not be read but are probably defined."""

    entries: list[MapNode] = field(default_factory=list)
    files: int = 0
    sources: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)


def load(folder: str, report: Report) -> Loaded:
    """Read every definition file under a folder. Raises `CannotRun` when there is no such folder."""
    try:
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise CannotRun(f"{shown(folder)} is not a folder")
        os.scandir(folder).close()
    except (OSError, ValueError) as error:
        raise CannotRun(f"the folder {shown(folder)} cannot be read: {_reason(error)}") from None
    loaded = Loaded()
    for path in _walk(folder, "", set(), report):
        loaded.files += 1
        _load_file(folder, path, loaded, report)
    return loaded


def shown(path: str) -> str:
    """A path as it is printed. Bytes that are not text are replaced. An empty path or a blank edge is quoted."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text if text and text == text.strip() else repr(text)


def _join(folder: str, relative: str) -> str:
    return relative if folder in (".", "./") else os.path.join(folder, relative)


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _walk(folder: str, below: str, seen: set[tuple[int, int]], report: Report) -> Iterator[str]:
    """The relative paths of the files under a folder, sorted. No folder is read twice, even if links form a loop."""
    here = os.path.join(folder, below)
    try:
        status = os.stat(here)
        names = sorted(os.listdir(here))
    except OSError as error:
        place = Location(shown(_join(folder, below)), 1, 1)
        report.error(place, "unreadable", f"the folder cannot be read: {_reason(error)}")
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for name in names:
        relative = os.path.join(below, name)
        if name.startswith((".", "_")):
            continue
        wanted = name.lower().endswith(SUFFIXES)
        if not os.path.isdir(os.path.join(folder, relative)):
            if wanted:
                yield relative
            elif _ALMOST.search(name):
                place = Location(shown(_join(folder, relative)), 1, 1)
                message = f"the file {quoted(name)} is not read: its name does not end in `.yaml` or `.yml`"
                report.warning(place, "unread-file", message, hint="rename it, or move it elsewhere")
        elif wanted:
            place = Location(shown(_join(folder, relative)), 1, 1)
            report.error(
                place, "not-a-file", f"{quoted(name)} is a folder with the name of a definition file"
            )
        else:
            yield from _walk(folder, relative, seen, report)


def _load_file(folder: str, relative: str, loaded: Loaded, report: Report) -> None:
    file = os.path.abspath(os.path.join(folder, relative))
    path = shown(_join(folder, relative))
    text = _read(file, path, report)
    if text is None:
        loaded.broken.add(os.path.basename(relative).split(".")[0])
        return
    loaded.sources[path] = text
    source = Source(path, file, text)
    nodes, whole = documents(source, report)
    if not whole:
        loaded.broken.add(os.path.basename(relative).split(".")[0])
        loaded.broken.update(found.group(1) for found in _NAME_LINE.finditer(text))
    for node in nodes:
        loaded.entries.extend(_definitions(node, report))


def _read(file: str, path: str, report: Report) -> str | None:
    place = Location(path, 1, 1)
    try:
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode):
            report.error(place, "not-a-file", "this is not a regular file")
            return None
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        report.error(place, "unreadable", f"the file cannot be read: {_reason(error)}")
        return None
    if len(data) > MAX_BYTES:
        report.error(place, "too-large", f"the file is longer than {MAX_BYTES} bytes")
        return None
    return _decode(data, place, report)


def _decode(data: bytes, place: Location, report: Report) -> str | None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        report.error(place, "encoding", "the file is UTF-16, not UTF-8", hint="save it as UTF-8")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = Source(place.path, "", data[: error.start].decode("utf-8-sig", "replace"))
        location = before.location(len(before.text))
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8 text"
        report.error(location, "encoding", message, hint="save the file as UTF-8")
        return None


def _definitions(node: Node, report: Report) -> Iterator[MapNode]:
    """The definitions of a document: the document itself, or the members of its list."""
    for item in node.items if isinstance(node, ListNode) else (node,):
        if isinstance(item, MapNode):
            yield item
        elif not (item is node and isinstance(item, ScalarNode) and item.value is None):
            what = "a list" if isinstance(item, ListNode) else quoted(item.value)
            hint = "a file holds one definition, or a list of them"
            report.error(
                item.location, "not-a-mapping", f"a definition must be a mapping, not {what}", hint=hint
            )
