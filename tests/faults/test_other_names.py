"""One database by several names: SQLite keeps its log beside a name, so two names would tear the content apart."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from framework.errors import CannotOpen
from framework.storage import open_storage
from framework.storage.operations import Put
from tests.acceptance.server import run
from tests.contract.processes import Child

pytestmark = pytest.mark.anyio

STAYS = 'await db.write([Put("q", "1", 1.0)]); say("open"); await hear()'


def url(file: Path) -> str:
    return f"sqlite:///{file}"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "one.db"


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[list[Path]]:
    made: list[Path] = []
    yield made
    for place in made:
        subprocess.run(["umount", place], check=True)


def mount(source: Path, place: Path, mounted: list[Path]) -> None:
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "--bind", source, place], capture_output=True).returncode
    ):
        pytest.skip("only root mounts")
    mounted.append(place)


async def test_a_hard_link_is_refused_also_after_a_kill(database: Path, tmp_path: Path) -> None:
    child = await Child.start(STAYS, url(database))
    assert await child.line() == "open"
    other = tmp_path / "two.db"
    os.link(database, other)
    with pytest.raises(CannotOpen, match=r"2 names \(hard links\)"):
        async with open_storage(url(other)):
            pass
    await child.kill()
    for arguments in (("fifo", "ls"), ("backup", tmp_path / "copy.db")):
        done = run(*arguments, "--database", url(other), cwd=tmp_path)
        assert done.code in (1, 2)
        assert "hard links" in done.err
    assert not (tmp_path / "two.db-wal").exists()
    other.unlink()
    async with open_storage(url(database)) as storage:
        assert [item.payload for item in await storage.peek("q", 5)] == ["1"]


async def test_a_mount_of_the_file_alone_is_refused_while_it_is_open(
    database: Path, tmp_path: Path, mounted: list[Path]
) -> None:
    child = await Child.start(STAYS, url(database))
    assert await child.line() == "open"
    other = tmp_path / "two.db"
    other.touch()
    mount(database, other, mounted)
    with pytest.raises(CannotOpen, match="open by another name"):
        async with open_storage(url(other)):
            pass
    await child.kill()


async def test_a_mount_of_the_folder_and_a_link_are_the_same_name(
    database: Path, tmp_path: Path, mounted: list[Path]
) -> None:
    child = await Child.start(STAYS, url(database))
    assert await child.line() == "open"
    (tmp_path / "link.db").symlink_to(database)
    async with open_storage(url(tmp_path / "link.db")) as storage:
        await storage.write([Put("q", "2", 1.0)])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    mount(tmp_path, elsewhere, mounted)
    async with open_storage(url(elsewhere / "one.db")) as storage:
        assert [item.payload for item in await storage.peek("q", 5)] == ["1", "2"]
    await child.kill()


async def test_a_name_that_looks_like_a_url_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_storage("sqlite:///file:x.db") as storage:
        await storage.write([Put("q", "1", 1.0)])
    assert {file.name for file in tmp_path.glob("*.db")} == {"file:x.db"}
