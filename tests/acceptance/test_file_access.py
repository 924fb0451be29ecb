"""Whose the files are, and who else may use them: other users of the machine neither read nor prepare anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.users import SERVICE, STRANGER, Running, as_root, place, python_as, run_as

from .server import Server, run, until

__all__ = ["place"]

DATABASE = ("--database", "sqlite:///tea.db")
ROUTING = """
domain: test
proxy: {path: /teas, authorization: {auth_mode: none}}
request_forbidden_process: |
  await FIFO("teas").put({"kind": "green"})
  return 202, None
---
name: Stove
mode: single
script: |
  async def consume():
      async with FIFO("teas") as tea:
          if tea is not None:
              qprint(tea.kind)
"""


@pytest.fixture
def folder(place: Path) -> Path:
    (place / "definitions").mkdir()
    (place / "definitions" / "tea.yaml").write_text(ROUTING)
    if os.geteuid() == 0:
        os.chown(place / "definitions", SERVICE, SERVICE)
        os.chown(place / "definitions" / "tea.yaml", SERVICE, SERVICE)
    return place


def modes(folder: Path) -> dict[str, int]:
    """The mode of everything of the database, by name."""
    found = [*folder.glob("tea.db*"), *folder.glob("tea.db.run/*")]
    return {str(file.relative_to(folder)): stat.S_IMODE(file.stat().st_mode) for file in found}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_files_are_their_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "tea.yaml").write_text(ROUTING)
    before = os.umask(umask)
    try:
        server = Server(tmp_path / "definitions", tmp_path, database="sqlite:///tea.db").ready()
    finally:
        os.umask(before)
    try:
        assert server.post("/teas", {}, token=None).code == 202
        found = modes(tmp_path)
        assert {"tea.db", "tea.db-wal", "tea.db-shm", "tea.db.run"} <= found.keys()
        assert len(found) > 5
        for name, mode in found.items():
            assert mode == (0o700 if name == "tea.db.run" else 0o600), name
        assert "other users" not in server.err
        assert run("backup", "copy.db", *DATABASE, cwd=tmp_path).code == 0
        assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    finally:
        server.close()


def test_wider_modes_are_warned_of_with_the_command_that_mends_them(tmp_path: Path) -> None:
    (tmp_path / "definitions").mkdir()
    Server(tmp_path / "definitions", tmp_path, database="sqlite:///tea.db").ready().stop()
    (tmp_path / "tea.db").chmod(0o644)
    server = Server(tmp_path / "definitions", tmp_path, database="sqlite:///tea.db").ready()
    try:
        until(lambda: "other users may open the database" in server.err)
        assert f"{tmp_path}/tea.db has mode 0644" in server.err
        doctor = run("doctor", *DATABASE, cwd=tmp_path)
        assert "warning  access" in doctor.out
        command = doctor.out.partition("`")[2].partition("`")[0]
        assert command.startswith("chmod 600 ")
        assert os.system(command) == 0
        assert "ok       access" in run("doctor", *DATABASE, cwd=tmp_path).out
    finally:
        server.close()


@as_root
def test_a_group_that_shares_a_database_shares_what_lies_beside_it(folder: Path) -> None:
    Running(SERVICE, "definitions", *DATABASE, cwd=folder).end()
    (folder / "tea.db").chmod(0o660)
    os.chown(folder / "tea.db", SERVICE, 7)
    server = Running(SERVICE, "definitions", *DATABASE, cwd=folder)
    try:
        for name, mode in modes(folder).items():
            assert mode in (0o660, 0o770), name
        assert "other users" not in server.err
    finally:
        assert server.end() == 0


@as_root
@pytest.mark.parametrize(
    "first",
    [("fifo", "ls"), ("fifo", "put", "teas", "{}"), ("token",), ("doctor",), ("account", "list")],
    ids=" ".join,
)
def test_what_root_did_first_is_in_nobodys_way(folder: Path, first: tuple[str, ...]) -> None:
    Running(SERVICE, "definitions", *DATABASE, cwd=folder).end()
    for name in folder.glob("tea.db.run/*"):
        name.unlink()
    (folder / "tea.db.run").rmdir()
    assert run(*first, *DATABASE, cwd=folder).code == 0
    for file in (*folder.glob("tea.db*"), *folder.glob("tea.db.run/*")):
        assert file.stat().st_uid == SERVICE, file
    server = Running(SERVICE, "definitions", *DATABASE, cwd=folder)
    try:
        put = run_as(SERVICE, "fifo", "put", "teas", '{"kind": "black"}', *DATABASE, cwd=folder)
        assert put.code == 0, put.err
        until(lambda: '"length": 0' in run("fifo", "ls", *DATABASE, "--format", "json", cwd=folder).out)
    finally:
        assert server.end() == 0


@as_root
def test_commands_of_root_beside_a_server_leave_nothing_of_roots(folder: Path) -> None:
    server = Running(SERVICE, "definitions", *DATABASE, cwd=folder)
    try:
        assert run("fifo", "put", "teas", '{"kind": "black"}', *DATABASE, cwd=folder).code == 0
        for file in (*folder.glob("tea.db*"), *folder.glob("tea.db.run/*")):
            assert file.stat().st_uid == SERVICE, file
    finally:
        assert server.end() == 0
    assert run_as(SERVICE, "fifo", "ls", *DATABASE, cwd=folder).code == 0


@as_root
@pytest.mark.parametrize("first", [("token",), ("fifo", "ls"), ("serve",)], ids=" ".join)
def test_a_database_that_root_begins_is_the_service_s(folder: Path, first: tuple[str, ...]) -> None:
    if first == ("serve",):
        Server(folder / "definitions", folder, database="sqlite:///tea.db").ready().stop()
    else:
        run(*first, *DATABASE, cwd=folder)
    for file in (*folder.glob("tea.db*"), *folder.glob("tea.db.run/*")):
        assert file.stat().st_uid == SERVICE, file
    assert Running(SERVICE, "definitions", *DATABASE, cwd=folder).end() == 0


@as_root
def test_a_database_of_root_says_whose_it_is(folder: Path) -> None:
    server = Server(folder / "definitions", folder, database="sqlite:///tea.db").ready()
    server.stop()
    os.chown(folder / "tea.db", 0, 0)
    refused = run_as(SERVICE, "serve", "definitions", *DATABASE, "--port", 0, cwd=folder)
    assert refused.code == 2
    assert "belongs to root (user 0) with mode 0600" in refused.err
    assert f"`chown {SERVICE} tea.db`" in refused.err
    assert "the definitions in" in server.err, "root is warned of the code of another user"


@as_root
class TestWhatAStrangerPrepared:
    """In a folder where everybody may make files, as in /tmp."""

    @pytest.fixture
    def common(self, folder: Path) -> Path:
        folder.chmod(0o1777)
        return folder

    def refused(self, folder: Path, *arguments: object) -> str:
        result = run_as(SERVICE, *(arguments or ("fifo", "put", "teas", "{}", *DATABASE)), cwd=folder)
        assert result.code == 2, result
        return result.err

    def test_a_database(self, common: Path) -> None:
        made = python_as(
            STRANGER, "import sqlite3; sqlite3.connect('tea.db').execute('CREATE TABLE t (a)')", cwd=common
        )
        assert made.code == 0, made.err
        (common / "tea.db").chmod(0o660)
        assert f"belongs to user {STRANGER}, who may have prepared it" in self.refused(common)
        (common / "tea.db").chmod(0o666)
        assert "every user can write to" in self.refused(common)

    @pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
    def test_a_file_beside_the_database(self, common: Path, end: str) -> None:
        Running(SERVICE, "definitions", *DATABASE, cwd=common).end()
        (common / f"tea.db{end}").write_bytes(b"")
        os.chown(common / f"tea.db{end}", STRANGER, STRANGER)
        assert f"tea.db{end} belongs to user {STRANGER}" in self.refused(common)

    def test_a_link_in_the_place_of_the_database(self, common: Path) -> None:
        (common / "mine.db").write_bytes(b"precious")
        os.chown(common / "mine.db", SERVICE, SERVICE)
        os.symlink("mine.db", common / "tea.db")
        os.chown(common / "tea.db", STRANGER, STRANGER, follow_symlinks=False)
        assert f"is a symbolic link that user {STRANGER} made" in self.refused(common)
        assert (common / "mine.db").read_bytes() == b"precious"

    @pytest.mark.parametrize("name", ["writer-turn.lock", "writer-next.lock"])
    def test_links_in_the_folder_of_locks(self, common: Path, name: str) -> None:
        Running(SERVICE, "definitions", *DATABASE, cwd=common).end()
        victim = common / "victim"
        victim.write_bytes(b"precious")
        os.chown(victim, SERVICE, SERVICE)
        os.rename(common / "tea.db.run", common / "away")
        (common / "tea.db.run").mkdir(0o777)
        (common / "tea.db.run" / name).symlink_to(victim)
        os.chown(common / "tea.db.run", STRANGER, STRANGER)
        assert f"was made by user {STRANGER}" in self.refused(common)
        os.chown(common / "tea.db.run", SERVICE, SERVICE)
        (common / "tea.db.run").chmod(0o777)
        assert "others can write into" in self.refused(common)
        (common / "tea.db.run").chmod(0o700)
        assert "is a symbolic link" in self.refused(common)
        (common / "tea.db.run" / name).unlink()
        os.link(victim, common / "tea.db.run" / name)
        assert "is not a plain file with one name" in self.refused(common)
        assert victim.read_bytes() == b"precious"

    def test_the_folder_of_locks_as_a_link(self, common: Path) -> None:
        Running(SERVICE, "definitions", *DATABASE, cwd=common).end()
        os.rename(common / "tea.db.run", common / "away")
        (common / "tea.db.run").symlink_to("away")
        assert "tea.db.run is not a folder" in self.refused(common)

    def test_definitions(self, common: Path) -> None:
        os.chown(common / "definitions", STRANGER, STRANGER)
        start = ("serve", "definitions", *DATABASE, "--port", 0)
        assert f"definitions belongs to user {STRANGER}" in self.refused(common, *start)
        os.chown(common / "definitions", SERVICE, SERVICE)
        (common / "definitions" / "tea.yaml").chmod(0o666)
        assert "every user can write to" in self.refused(common, *start)
        (common / "definitions" / "tea.yaml").chmod(0o644)
        (common / "definitions").chmod(0o777)
        assert "every user can write into the folder" in self.refused(common, *start)
        assert "`chmod o-w " in self.refused(common, *start)
        assert not (common / "tea.db").exists()

    def test_a_folder_that_everybody_may_write_to(self, folder: Path) -> None:
        folder.chmod(0o777)
        assert "every user can write into the folder" in self.refused(
            folder, "serve", "definitions", *DATABASE, "--port", 0
        )
        assert not (folder / "tea.db").exists()

    def test_the_target_of_a_backup(self, common: Path) -> None:
        Running(SERVICE, "definitions", *DATABASE, cwd=common).end()
        victim = common / "victim"
        victim.write_bytes(b"precious")
        os.chown(victim, SERVICE, SERVICE)
        (common / "copy.db").symlink_to(victim)
        done = run_as(SERVICE, "backup", "copy.db", "--force", *DATABASE, cwd=common)
        assert done.code == 0, done.err
        assert victim.read_bytes() == b"precious"
        assert not (common / "copy.db").is_symlink()

    def test_the_target_of_stubs(self, common: Path) -> None:
        victim = common / "victim"
        victim.write_bytes(b"precious")
        os.chown(victim, SERVICE, SERVICE)
        (common / "stubs").mkdir()
        os.chown(common / "stubs", SERVICE, SERVICE)
        for name in ("builtins.pyi", "atom.pyi", "framework_scope.pyi"):
            (common / "stubs" / name).symlink_to(victim)
        run_as(SERVICE, "stubs", "definitions", cwd=common)
        assert victim.read_bytes() == b"precious"


@as_root
def test_a_folder_that_is_vouched_for_is_used(folder: Path) -> None:
    """A container's volume is often open to everybody, and nobody else is there."""
    folder.chmod(0o777)
    (folder / "definitions").chmod(0o777)
    trusted = {"FRAMEWORK_TRUSTED": f"/nowhere:{folder}"}
    assert Running(SERVICE, "definitions", *DATABASE, cwd=folder, env=trusted).end() == 0


@as_root
def test_a_stranger_is_told_how_to_call_the_server_and_may_do_so_with_a_token(folder: Path) -> None:
    server = Running(SERVICE, "definitions", *DATABASE, cwd=folder)
    try:
        token = folder.parent / "token.txt"
        token.write_text(run_as(SERVICE, "token", *DATABASE, cwd=folder).out, encoding="utf-8")
        token.chmod(0o600)
        os.chown(token, STRANGER, STRANGER)
        alone = run_as(STRANGER, "call", "POST", "/teas", *DATABASE, cwd=folder)
        assert alone.code == 2
        assert alone.err.startswith("framework: ")
        assert "--url and a token" in alone.err
        more = ("--url", server.url, "--token-file", token)
        allowed = run_as(STRANGER, "call", "POST", "/teas", *DATABASE, *more, cwd=folder)
        assert (allowed.code, allowed.err.strip()) == (0, "202")
    finally:
        assert server.end() == 0
