"""SQLite: what cannot be opened says which file, why, and in words that are not SQLite's alone."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from framework.errors import CannotOpen
from framework.storage import open_storage
from framework.storage.operations import Put
from tests.contract.processes import program

from .test_sqlite_full_disk import mounting

pytestmark = pytest.mark.anyio


async def refused(path: Path | str) -> str:
    with pytest.raises(CannotOpen) as caught:
        async with open_storage(f"sqlite:///{path}"):
            pass
    assert str(path) in str(caught.value)
    return str(caught.value)


async def test_a_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "q.db"
    assert "does not exist" in await refused(path)
    assert not path.parent.exists()


async def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    await refused(tmp_path / "file" / "q.db")


async def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    assert "is a folder" in await refused(tmp_path)


@pytest.mark.parametrize("content", [b"hello, this is no database\n" * 100, bytes(range(256)) * 32])
async def test_a_file_that_is_no_database_is_left_as_it_was(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "q.db"
    path.write_bytes(content)
    assert "not an SQLite database" in await refused(path)
    assert path.read_bytes() == content


async def test_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "q.db"
    async with open_storage(f"sqlite:///{path}") as storage:
        await storage.write([Put("q", "1", 1.0)])
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xaa" * 3996  # the first page behind its header: the list of the tables
    path.write_bytes(content)
    assert "damaged" in await refused(path)


async def test_a_device() -> None:
    await refused("/dev/null")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://q.db"])
async def test_a_url_without_a_file(url: str) -> None:
    with pytest.raises(CannotOpen, match="names no file"):
        async with open_storage(url):
            pass


@pytest.mark.parametrize("url", ["", "q.db", "mysql://localhost/q", "SQLITE:///q.db"])
async def test_a_url_of_no_engine_names_those_there_are(url: str) -> None:
    with pytest.raises(CannotOpen, match="sqlite:///"):
        async with open_storage(url):
            pass


async def test_a_relative_path_is_one_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_storage("sqlite:///q.db"):
        pass
    assert (tmp_path / "q.db").is_file()


async def test_names_with_special_characters(tmp_path: Path) -> None:
    path = tmp_path / "ü ?mode=ro&x=%20#.db"
    async with open_storage(f"sqlite:///{path}") as storage:
        await storage.write([Put("q", "1", 1.0)])
    assert path.is_file()


@pytest.mark.skipif(mounting() is None, reason="this system lets the tests mount no disk of their own")
@pytest.mark.parametrize("existing", [False, True])
async def test_a_disk_that_can_only_be_read(tmp_path: Path, existing: bool) -> None:
    path = tmp_path / "q.db"
    if existing:
        async with open_storage(f"sqlite:///{path}"):
            pass
    command = mounting()
    assert command is not None
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    done = subprocess.run(
        [
            *(*command, "sh", "-c", mount, str(tmp_path)),
            *(sys.executable, "-c", program("say('opened')"), f"sqlite:///{path}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("framework.errors.CannotOpen: "), done.stderr
    assert str(path) in last


async def test_the_error_has_no_other_type_than_ours(tmp_path: Path) -> None:
    """Whoever catches FrameworkError catches it; sqlite3's own stands behind it as its cause."""
    (tmp_path / "q.db").write_bytes(b"no database" * 1000)
    with pytest.raises(CannotOpen) as caught:
        async with open_storage(f"sqlite:///{tmp_path}/q.db"):
            pass
    assert isinstance(caught.value.__cause__, sqlite3.Error)
