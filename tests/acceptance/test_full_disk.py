"""A disk that runs full under the real server: 503 that says so, nothing half-written, and on it goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .app import app
from .server import Server, until


class OnSmallDisk(Server):
    """A server whose folder is a disk of 3 MiB, which it alone sees; we reach it through its process."""

    def inside(self) -> Path:
        children = Path(f"/proc/{self.process.pid}/root")
        return children / self.folder.relative_to("/")

    def fill(self) -> None:
        with (self.inside() / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                return

    def free(self) -> None:
        (self.inside() / "filler").unlink()


def _mountable() -> bool:
    try:
        probe = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not _mountable(), reason="this system lets the tests mount no disk of their own")
def test_a_full_disk_is_a_503_and_work_goes_on_when_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = app(tmp_path)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=3m tmpfs "$0" && cd "$0" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, str(disk), sys.executable, "-m", "framework"]
    monkeypatch.setattr("tests.acceptance.server.COMMAND", command)
    server = OnSmallDisk(definitions, disk)
    monkeypatch.undo()
    try:
        server.ready()
        token = _token(server)
        before = server.post("/v1/orders", {"name": "before"}, token=token)
        assert before.code == 202

        server.fill()
        codes = []
        for number in range(40):
            answer = server.post("/v1/orders", {"name": f"full-{number}", "pad": "x" * 20_000}, token=token)
            codes.append(answer.code)
            if answer.code == 503:
                assert answer.headers["retry-after"] == "1"
                assert "stored before stays" in answer.problem()["detail"]
        assert codes[-1] == 503, "the disk was never full"
        assert set(codes) <= {202, 503}
        assert server.get("/v1/orders", token=token).code == 200, "reading goes on"
        assert "the disk is full" in server.err

        server.free()
        until(lambda: server.post("/v1/orders", {"name": "after"}, token=token).code == 202)
        accepted = 1 + codes.count(202) + 1

        def all_done() -> bool:
            orders = server.get("/v1/orders", token=token).json()
            done = [order for order in orders if order["status"] == "done"]
            # The reference application saves and puts apart: a 503 may leave its order, never a place in the queue.
            return len(done) == accepted

        until(all_done, 30.0, what=lambda: server.err[-3000:])
    finally:
        server.close()


def _token(server: OnSmallDisk) -> str:
    """A token made inside, where the disk is."""
    command = ["nsenter", "-t", str(server.process.pid), "-m", "--wd=" + str(server.folder)]
    made = subprocess.run(
        [*command, sys.executable, "-m", "framework", "token", "--database", server.database],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return made.stdout.strip()
