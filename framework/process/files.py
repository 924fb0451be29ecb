"""The rules about files: who may use them, who owns them, and which links are never followed.

The one rule: **files that the framework makes belong to their owner alone, and it opens no file that a stranger could
have prepared.** A stranger is any user except root and the user of this process. The variable ``FRAMEWORK_TRUSTED``
names folders, separated by colons. Owners and modes in and below them are not checked.
"""

from __future__ import annotations

import glob
import os
import pwd
import secrets
import shlex
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from framework.errors import CannotOpen

TRUSTED = "FRAMEWORK_TRUSTED"

_SHARED = 0o060  # the group may read and write
_ROOT = 0
_HOST = socket.gethostname().replace("/", "_")
_OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a named pipe must not block


class Refused(CannotOpen):
    """A file that another user could have prepared or can change. It is not opened."""


# ---- what we make ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Access:
    """The owner of a file, and who else may use it. Files beside the database take both from the database."""

    owner: int
    group: int
    shared: bool = False  # with the group, on purpose

    @classmethod
    def of(cls, path: str) -> Access:
        """The access of a file, or of this process's new files if it does not exist."""
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return cls.own()
        return cls(found.st_uid, found.st_gid, found.st_mode & _SHARED == _SHARED)

    @classmethod
    def in_folder(cls, folder: str) -> Access:
        """The access of the first file in a folder. What root creates for a service belongs to the owner of the
        folder."""
        if os.geteuid() != _ROOT or _is_open(folder):
            return cls.own()
        found = os.stat(folder)
        return cls(found.st_uid, found.st_gid)

    @property
    def file_mode(self) -> int:
        return 0o660 if self.shared else 0o600

    @property
    def folder_mode(self) -> int:
        return 0o770 if self.shared else 0o700

    @classmethod
    def own(cls) -> Access:
        """The access of files that belong to this process alone."""
        return cls(os.geteuid(), os.getegid())

    def trusts(self, user: int) -> bool:
        """May this user have made a file beside ours?"""
        return user in (_ROOT, os.geteuid(), self.owner)

    def give(self, number: int, mode: int) -> None:
        """Give away a new open file, so that root leaves nothing that the owner cannot open."""
        os.fchmod(number, mode)
        # Only root can give files away. A member of a group can give them to the group.
        with suppress(PermissionError):
            if os.geteuid() == _ROOT:
                os.fchown(number, self.owner, self.group)
            elif self.shared:
                os.fchown(number, -1, self.group)

    def give_name(self, path: str | Path) -> None:
        """``give`` for a socket, which cannot be opened, in a folder of our own."""
        os.chmod(path, self.file_mode)
        with suppress(PermissionError):
            if os.geteuid() == _ROOT:
                os.chown(path, self.owner, self.group, follow_symlinks=False)
            elif self.shared:
                os.chown(path, -1, self.group, follow_symlinks=False)


def create(path: str | Path, access: Access | None = None) -> bool:
    """Make an empty file that no other user may read, whatever the umask. Return False if it, or a link, exists."""
    try:
        number = os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    try:
        if access is None:
            os.fchmod(number, 0o600)
        else:
            access.give(number, access.file_mode)
    finally:
        os.close(number)
    return True


def open_beside(path: str | Path, access: Access, *, make: bool = True) -> int:
    """Open a file of our own for reading and writing. Make it if it is missing. Links are not followed.

    Raises ``Refused`` if a stranger made it or it is not a regular file, and ``FileNotFoundError`` without ``make``.
    """
    while True:
        try:
            number = os.open(path, _OPEN)
            break
        except FileNotFoundError:
            if not make:
                raise
            create(path, access)
        except OSError as error:
            if os.path.islink(path):
                raise Refused(f"{path} is a symbolic link, which no file there may be: remove it") from None
            raise CannotOpen(denied(path, error)) from error
    try:
        found = os.fstat(number)
        _require_own(found, path, access)
        if stat.S_IMODE(found.st_mode) != access.file_mode and os.geteuid() in (_ROOT, found.st_uid):
            access.give(number, access.file_mode)
    except BaseException:
        os.close(number)
        raise
    return number


def make_folder(path: str | Path, access: Access) -> None:
    """Make a folder that no other user may enter, whatever the umask. An existing one must be of that kind.

    Raises ``Refused`` if a stranger made it, others can write into it, or it is not a folder.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    else:
        number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            access.give(number, access.folder_mode)
        finally:
            os.close(number)
    require_folder(path, access)


def require_folder(path: str | Path, access: Access) -> None:
    """Raises ``Refused`` unless it is a folder of our own. A folder that others can only read is closed to them. A
    folder for the group is opened to it.
    """
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise Refused(f"{path} is not a folder: remove it")
    if is_trusted(path):
        return
    if not access.trusts(found.st_uid):
        raise Refused(f"{path} was made by {user(found.st_uid)}, not by {user(access.owner)}: remove it")
    if found.st_mode & 0o002:
        raise Refused(f"others can write into {path}: {_command('chmod', f'{access.folder_mode:o}', path)}")
    if stat.S_IMODE(found.st_mode) != access.folder_mode and os.geteuid() in (_ROOT, found.st_uid):
        os.chmod(path, access.folder_mode)


@contextmanager
def replacing(target: str | Path, access: Access | None) -> Iterator[Path]:
    """A file beside ``target`` that replaces it when the block succeeds.

    A link at ``target`` is replaced, never followed. Without ``access`` the umask decides who may read the file,
    which is right for content that is not secret.
    """
    target = Path(target)
    _remove_left(target)
    part = target.with_name(f".{target.name}.{_HOST}-{os.getpid()}-{secrets.token_hex(8)}.part")
    number = os.open(part, _OPEN | os.O_CREAT | os.O_EXCL, 0o666 if access is None else 0o600)
    try:
        if access is not None:
            access.give(number, access.file_mode)
        os.close(number)
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _remove_left(target: Path) -> None:
    """Remove partial files that killed processes of this machine have left, and SQLite's files beside them."""
    begun = f".{target.name}.{_HOST}-"
    with suppress(OSError):
        for file in target.parent.glob(f"{glob.escape(begun)}*.part*"):
            number = file.name.removeprefix(begun).partition("-")[0]
            if number.isdigit() and not _runs(int(number)):
                file.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # of another user
    return True


# ---- what is there already ------------------------------------------------------------------


def require_database(path: str) -> None:
    """Raises ``Refused`` unless only its owner, root and those they admit could have put the database there.

    The files that SQLite keeps beside it are checked as well, because SQLite would read a stranger's log.
    """
    if is_trusted(path):
        return
    _require_place(os.path.dirname(os.path.abspath(path)))
    _require_link(path)
    real = os.path.realpath(path)
    _require_place(os.path.dirname(real))
    access = Access.of(real)
    for file in (real, *beside(real)):
        try:
            found = os.lstat(file)
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode):
            raise Refused(f"{file} is not a plain file: it is not opened")
        if found.st_mode & 0o002:
            raise Refused(
                f"every user can write to {file}, and can have written into it: look at what it holds, then "
                f"{_command('chmod', f'{access.file_mode:o}', file)}"
            )
        strange = found.st_uid not in (_ROOT, os.geteuid())
        if strange and (_is_open(os.path.dirname(real)) or found.st_uid != access.owner):
            raise Refused(
                f"{file} belongs to {user(found.st_uid)}, who may have prepared it: it is not opened. Remove it, "
                "or work as that user"
            )


def beside(path: str) -> tuple[str, str, str]:
    """The files that SQLite keeps beside a database."""
    return f"{path}-wal", f"{path}-shm", f"{path}-journal"


def require_code(folder: str) -> None:
    """Raises ``Refused`` if others can change a definition in the folder, because definitions are code that we
    run."""
    if is_trusted(folder):
        return
    for place, _, names in os.walk(folder, followlinks=True):
        _require_place(place)
        if _is_open(place):
            raise Refused(_open_folder(place))
        for name in names:
            file = os.path.join(place, name)
            if not name.lower().endswith((".yaml", ".yml")):
                continue
            _require_link(file)
            try:
                found = os.stat(file)
            except OSError:
                continue  # a dangling link: the loader reports it
            if os.path.islink(file):
                _require_place(os.path.dirname(os.path.realpath(file)))
            if found.st_mode & 0o002 and not _is_read_only(file):
                raise Refused(
                    f"every user can write to {file}, and it is code: {_command('chmod', 'o-w', file)}, or name "
                    f"its folder in {TRUSTED}"
                )


def foreign_code(folder: str) -> str | None:
    """A warning if root is to run the code of another user, who would become root by it."""
    owner = os.stat(folder).st_uid
    if os.geteuid() != _ROOT or owner == _ROOT or is_trusted(folder):
        return None
    return (
        f"root runs the definitions in {folder}, which belong to {user(owner)}: a user who can change them "
        "gets the rights of root. Run the server as that user, or give the folder to root"
    )


def exposed(path: str) -> list[tuple[str, int, int]]:
    """The files of a database that more users can open than its owner intended, each with its mode and a better one.

    A database that the group may read *and* write is shared on purpose.
    """
    real = os.path.realpath(path)
    access = Access.of(real)
    wrong = []
    for file in (real, *beside(real)):
        with suppress(OSError):
            mode = stat.S_IMODE(os.stat(file).st_mode)
            if mode & 0o077 & ~access.file_mode:
                wrong.append((file, mode, access.file_mode))
    return wrong


def denied(path: str | Path, error: OSError) -> str:
    """Why a file could not be opened, with its owner if that is the reason, and what to do."""
    reason = (error.strerror or str(error)).lower()
    if isinstance(error, PermissionError):
        with suppress(OSError):
            found = os.lstat(path)
            reason = (
                f"it belongs to {user(found.st_uid)} with mode {stat.S_IMODE(found.st_mode):04o}; as root, "
                + _command("chown", str(os.geteuid()), path)
            )
    return f"{path} cannot be opened: {reason}"


def is_trusted(path: str | Path) -> bool:
    """Does the operator vouch for the folder in which it lies?"""
    real = Path(os.path.realpath(path))
    folders = (folder for folder in os.environ.get(TRUSTED, "").split(os.pathsep) if folder)
    return any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)


def user(number: int) -> str:
    """The name of a user, or the number if the system knows no name."""
    try:
        return f"{pwd.getpwuid(number).pw_name} (user {number})"
    except KeyError:
        return f"user {number}"


def _require_own(found: os.stat_result, path: str | Path, access: Access) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise Refused(f"{path} is not a plain file with one name: remove it")
    if not access.trusts(found.st_uid) and not is_trusted(path):
        raise Refused(f"{path} was made by {user(found.st_uid)}, not by {user(access.owner)}: remove it")


def _require_place(folder: str) -> None:
    """Raises ``Refused`` if a stranger can replace this folder or one above it."""
    place = Path(os.path.realpath(folder))
    for one in (*reversed(place.parents), place):
        try:
            found = os.lstat(one)
        except FileNotFoundError:
            return  # the code that opens it reports this
        if found.st_mode & 0o002 and not found.st_mode & stat.S_ISVTX and not _is_read_only(one):
            raise Refused(_open_folder(str(one)))
        if one != one.parent and _is_open(str(one.parent)) and found.st_uid not in (_ROOT, os.geteuid()):
            raise Refused(
                f"{one} belongs to {user(found.st_uid)}, who made it in a folder that everyone can write to: use "
                f"another folder, or name it in {TRUSTED}"
            )


def _require_link(path: str) -> None:
    """Raises ``Refused`` if the path is a link that a stranger could have made."""
    with suppress(FileNotFoundError):
        found = os.lstat(path)
        strange = found.st_uid not in (_ROOT, os.geteuid())
        if stat.S_ISLNK(found.st_mode) and strange and _is_open(os.path.dirname(os.path.abspath(path))):
            raise Refused(f"{path} is a symbolic link that {user(found.st_uid)} made: remove it")


def _is_open(folder: str) -> bool:
    """May every user make files there?"""
    return bool(os.stat(folder).st_mode & 0o002) and not _is_read_only(folder)


def _is_read_only(path: str | Path) -> bool:
    """Is it on a read-only file system, such as a container's volume of settings?"""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _open_folder(folder: str) -> str:
    return (
        f"every user can write into the folder {folder}, and can replace what is in it: "
        f"{_command('chmod', 'o-w', folder)}, or name it in {TRUSTED} if no other user is on this machine"
    )


def _command(*words: str | Path) -> str:
    return f"`{shlex.join(map(str, words))}`"
