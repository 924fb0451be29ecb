"""What a power cut leaves on the disk, played from the system calls of a real process.

The rule: a file holds what was written to it before its last completed sync began. Of what was written since
then, any part may be there as well, in any order, a sector (512 bytes) being the smallest part; a file that
was removed may be there again.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
CALLS = "openat,pwrite64,write,ftruncate,fsync,fdatasync,unlink,unlinkat,rename"

_CALL = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)")
_FILE = re.compile(r"^\d+<([^>]*)>")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def tracing(trace: Path) -> list[str]:
    """The command that notes all system calls that change a file, with everything that they write."""
    options = ["-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-s", "10000000"]
    return ["strace", *options, "-o", str(trace), "-e", f"trace={CALLS}"]


@dataclass(frozen=True)
class Event:
    """A system call on a file: ``write``, ``truncate``, ``sync``, ``unlink``; or ``say``, of a line."""

    kind: str
    path: str
    data: bytes = b""
    offset: int = 0


def events(trace: Path, database: str) -> Iterator[Event]:
    """What happened to the database's files and what was said, in order.

    A call that was interrupted in the trace counts as a write when it begins, as a sync when it ends.
    """
    pending: dict[str, str] = {}
    with trace.open(encoding="ascii") as lines:
        for line in lines:
            line = line.rstrip()
            thread = line.partition(" ")[0]
            if line.endswith("<unfinished ...>"):
                begun = line.removesuffix("<unfinished ...>").rstrip()
                if re.match(r"\d+ +(pwrite64|write|ftruncate)\(", begun):
                    line = begun.rstrip(")") + ") = 0"  # its data is there in full
                else:
                    pending[thread] = begun
                    continue
            elif " resumed>" in line:
                begun = pending.pop(thread, "")
                if not begun:
                    continue
                line = begun + line.partition(" resumed>")[2]
            found = _CALL.match(line)
            if found and int(found[4]) >= 0:
                yield from _events(found[2], found[3], database)


def _events(call: str, arguments: str, database: str) -> Iterator[Event]:
    if call in ("unlink", "unlinkat"):
        path = _text(arguments)
        if _ours(path, database):
            yield Event("unlink", path)
        return
    if call == "rename":
        assert not _ours(_text(arguments), database), "SQLite renames no file"
        return
    file = _FILE.match(arguments)
    if file is None:
        return
    path = _decoded(file[1]).decode()
    if arguments.startswith("1<"):
        yield Event("say", "", _data(arguments))
    elif _ours(path, database):
        if call == "pwrite64":
            yield Event("write", path, _data(arguments), int(arguments.rpartition(",")[2]))
        elif call == "write":
            raise AssertionError("a write without an offset")
        elif call == "ftruncate":
            yield Event("truncate", path, offset=int(arguments.rpartition(",")[2]))
        elif call in ("fsync", "fdatasync"):
            yield Event("sync", path)


def _ours(path: str, database: str) -> bool:
    """The files that outlive a process; the shared memory is made anew from the log."""
    return path in (database, f"{database}-wal", f"{database}-journal")


def _text(arguments: str) -> str:
    return _data(arguments).decode()


def _data(arguments: str) -> bytes:
    found = _STRING.search(arguments)
    assert found is not None, arguments[:200]
    return _decoded(found[1])


def _decoded(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


@dataclass
class _File:
    synced: bytearray = field(default_factory=bytearray)
    unsynced: list[Event] = field(default_factory=list)


class Disk:
    """The files of a database as they are kept through a power cut."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._removed: dict[str, _File] = {}

    def hold(self, path: str, content: bytes) -> None:
        """A file that is on the disk from the beginning."""
        self._files[path] = _File(bytearray(content))

    def apply(self, event: Event) -> None:
        """What this call changes on the disk."""
        if event.kind == "unlink":
            file = self._files.pop(event.path, None)
            if file is not None:
                self._removed[event.path] = file
            return
        if event.kind == "say":
            return
        file = self._files.setdefault(event.path, _File())
        if event.kind == "sync":
            for change in file.unsynced:
                _change(file.synced, change)
            file.unsynced.clear()
            self._removed.clear()  # the directory's entry is synced with it, at the latest
        else:
            file.unsynced.append(event)

    def content(self, path: str) -> bytes:
        """The file as a process sees it while the power is there."""
        content = bytearray(self._files[path].synced)
        for change in self._files[path].unsynced:
            _change(content, change)
        return bytes(content)

    def image(self, folder: Path, source: random.Random | None = None) -> None:
        """Write the files as they are after a cut now; with ``source`` a random part of the unsynced is there."""
        files = dict(self._files)
        if source is not None and source.random() < 0.5:
            files = self._removed | files
        for path, file in files.items():
            content = bytearray(file.synced)
            if source is not None:
                for change in _part(file.unsynced, source):
                    _change(content, change)
            (folder / Path(path).name).write_bytes(content)


def _part(changes: list[Event], source: random.Random) -> Iterator[Event]:
    """All up to some point, the last one torn; or any of them, some torn."""
    if source.random() < 0.5:
        kept = changes[: source.randint(0, len(changes))]
        yield from kept[:-1]
        yield from (_torn(change, source) for change in kept[-1:])
        return
    share = source.random()
    for change in changes:
        if source.random() < share:
            yield _torn(change, source) if source.random() < 0.2 else change


def _torn(change: Event, source: random.Random) -> Event:
    if change.kind != "write" or len(change.data) <= SECTOR:
        return change
    sectors = source.randrange(len(change.data) // SECTOR)
    return Event("write", change.path, change.data[: sectors * SECTOR], change.offset)


def _change(content: bytearray, change: Event) -> None:
    if change.kind == "truncate":
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
        return
    end = change.offset + len(change.data)
    content.extend(bytes(max(end - len(content), 0)))
    content[change.offset : end] = change.data
