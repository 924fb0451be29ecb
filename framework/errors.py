"""Every error that the framework raises for its users to catch, in one tree.

    FrameworkError
    ├── ValidationError        a value that a field does not accept                    (HTTP 422)
    │   └── TransitionError    a state that cannot be left so, or be written by hand   (HTTP 409)
    ├── HTTPError              the answer that a routing script wants to give          (its own code)
    │   └── Error              the same, with a body and more information
    ├── StorageError
    │   ├── Duplicate          an insert of a key or unique value that exists          (HTTP 409)
    │   ├── Gone               a save or destroy of a row that is no longer there      (HTTP 409)
    │   ├── Changed            a row that somebody else has changed in the meantime    (HTTP 409)
    │   ├── StillReferred      a destroy of what others refer to                       (HTTP 409)
    │   ├── TransactionTooLong it held the writer while it awaited something else      (HTTP 500)
    │   ├── TransactionEnded   something asked of a transaction that is over
    │   ├── TransactionHeld    a write beside the transaction that the same task holds
    │   ├── RequestInProgress  the first request with this key is being answered       (HTTP 409)
    │   ├── RequestMismatch    the key was used for a request with other contents      (HTTP 422)
    │   └── Unavailable        the database cannot be read or written now              (HTTP 503)
    │       ├── DatabaseLost   its files were deleted, moved or replaced               (HTTP 503)
    │       └── CannotOpen     it could not be opened at all: the start stops
    ├── FifoError
    │   ├── ItemRefused        an item or a FIFO name that is not allowed              (HTTP 422)
    │   ├── FifoFull           a put into a FIFO that has reached its max_length        (HTTP 503)
    │   ├── InWork             a verb that may not touch the item in work
    │   ├── NotEmpty           a FIFO that is to be forgotten, and holds something
    │   ├── Nested             a FIFO entered inside a block of the same FIFO
    │   ├── NotInBlock         something asked of a delivery outside its block
    │   ├── ClaimLost          another process owns the item now, or may: nothing written  (HTTP 503)
    │   ├── Reject             raised in a block: the item can never be worked off
    │   └── Retry              raised in a block: the item is to be tried again later
    ├── AccountError           a verb on an account or role that is not there, or not allowed
    ├── WrongLoop              a call from the event loop of another thread: nothing was done
    └── Stopping               the runtime is shutting down

A mistake in a definition is no exception but a value: see ``framework.definitions.problem``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus


class FrameworkError(Exception):
    """Base of every error that the framework raises on purpose."""


class ValidationError(FrameworkError):
    """A value that a field of an ATOM class does not accept; nothing was changed.

    ``class_name`` and ``field`` say where, ``rule`` which rule (``type``, ``enum``, ``nullable``,
    ``immutable``, ``unknown``, ...), ``problem`` the sentence without class and field.
    """

    def __init__(self, class_name: str, field: str, value: object, rule: str, problem: str) -> None:
        super().__init__(f"{class_name}.{field}: {problem}")
        self.class_name = class_name
        self.field = field
        self.value = value
        self.rule = rule
        self.problem = problem


class TransitionError(ValidationError):
    """A transition between the states of a field that is not allowed now; nothing was changed.

    ``key`` says which instance, ``state`` the one it is in, ``possible`` the names of the transitions that may
    start there. ``assigned``: a state was to be written by hand.
    """

    def __init__(
        self,
        class_name: str,
        field: str,
        key: object,
        *,
        state: object,
        problem: str,
        possible: tuple[str, ...] = (),
        assigned: bool = False,
    ) -> None:
        super().__init__(class_name, field, state, "transition", problem)
        self.key = key
        self.state = state
        self.possible = possible
        self.assigned = assigned


class HTTPError(FrameworkError):
    """Raised by a routing script to answer with an HTTP status; ``reason`` reaches the client."""

    def __init__(self, code: int = 500, reason: str | None = None) -> None:
        if isinstance(code, bool) or not isinstance(code, int) or not 400 <= code <= 599:
            raise ValueError(f"HTTPError takes a status from 400 to 599, not {code!r}")
        self.code = int(code)
        self.reason = reason if reason is not None else _phrase(self.code)
        super().__init__(f"{self.code} {self.reason}")


class Error(HTTPError):
    """An :class:`HTTPError` that may bring a body of its own and a pointer to more information."""

    def __init__(
        self, code: int = 500, reason: str | None = None, body: object = None, moreInfo: object = None
    ) -> None:
        super().__init__(code, reason)
        self.body = body
        self.moreInfo = moreInfo


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "Error"


class StorageError(FrameworkError):
    """The database refused an operation."""


class Duplicate(StorageError):
    """A row with this key, or this value of a unique field, exists already; nothing was written."""

    def __init__(self, table: str, columns: tuple[str, ...] = ()) -> None:
        what = f" with the same {', '.join(columns)}" if columns else ""
        super().__init__(f"{table}: a row{what} exists already")
        self.table = table
        self.columns = columns


class Gone(StorageError):
    """The row was destroyed in the meantime; nothing was written."""

    def __init__(self, table: str, key: object = None) -> None:
        super().__init__(f"{table}: the row is gone" if key is None else f"{table}: the row {key!r} is gone")
        self.table = table
        self.key = key


class Changed(StorageError):
    """The row has other values than those that were expected; nothing was written.

    ``values`` are those of the columns that were looked at.
    """

    def __init__(self, table: str, key: object, values: Mapping[str, object]) -> None:
        super().__init__(f"{table}: the row {key!r} was changed by somebody else in the meantime")
        self.table = table
        self.key = key
        self.values = values


class StillReferred(StorageError):
    """An instance that others still refer to; it was not destroyed.

    ``by`` is the field that refers to it (``Class.field``), ``by_key`` the key of one that does.
    """

    def __init__(self, table: str, key: object, by: str, by_key: object) -> None:
        super().__init__(f"{table} {key!r} is still referred to by {by} of {by_key!r}")
        self.table = table
        self.key = key
        self.by = by
        self.by_key = by_key


class TransactionTooLong(StorageError):
    """The transaction held the writer too long while it awaited something else; it was rolled back.

    Everybody who writes waits for it: call back ends before or after the transaction, not inside it.
    """

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((self.__doc__ or "").split()))


class TransactionEnded(StorageError):
    """The transaction has ended; a task that outlives its transaction cannot use it any more."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class TransactionHeld(StorageError):
    """This task holds a transaction, for which everybody who writes waits: it would wait for itself."""


class RequestInProgress(StorageError):
    """The first request with this Idempotency-Key is still being answered."""


class RequestMismatch(StorageError):
    """The Idempotency-Key was used before, for a request with other contents."""


class Unavailable(StorageError):
    """The database cannot be read or written at the moment; nothing of this unit was written.

    Or others were in the way of a transaction, which the database has ended: done again, it may succeed.
    """


class DatabaseLost(Unavailable):
    """The files of the open database were deleted, moved or replaced: nothing is stored in them any more."""


class CannotOpen(Unavailable):
    """The database could not be opened; the message says why and what to do."""


class FifoError(FrameworkError):
    """A FIFO was used in a way that it does not allow."""


class ItemRefused(FifoError):
    """The item or the FIFO's name is not allowed; nothing was put. ``refused`` is what was not allowed."""

    def __init__(self, message: str, refused: object = None) -> None:
        super().__init__(message)
        self.refused = refused


class FifoFull(FifoError):
    """The FIFO holds as many items as its policy allows; nothing was put. Try again later."""


class InWork(FifoError):
    """The item is in work at this moment; nothing was changed."""


class NotEmpty(FifoError):
    """The FIFO holds items or dead letters; it was not forgotten."""


class Nested(FifoError):
    """A block of a FIFO stands inside another block of the same FIFO: it would wait for itself."""


class NotInBlock(FifoError):
    """``attempt``, ``put_at``, ``id`` or ``epoch`` was asked for outside the FIFO's block."""


class ClaimLost(FifoError):
    """Another process has taken the item over, or may do so: this one has lost what it held in the database.

    What was to be written was not.
    """


class Reject(FifoError):
    """Raised by a script in a FIFO block: this item can never be worked off, do not try it again."""


class Retry(FifoError):
    """Raised by a script in a FIFO block: try this item again, ``after`` seconds (or a timedelta) from now."""

    def __init__(self, message: str = "to be tried again", *, after: float | timedelta | None = None) -> None:
        super().__init__(message)
        seconds = after.total_seconds() if isinstance(after, timedelta) else after
        if seconds is not None and not (isinstance(seconds, int | float) and math.isfinite(seconds)):
            raise ValueError(f"Retry(after=) takes seconds or a timedelta, not {after!r}")
        self.after = None if seconds is None else max(float(seconds), 0.0)


class AccountError(FrameworkError):
    """An account's name or role is not there, or not allowed; nothing was changed."""


class WrongLoop(FrameworkError):
    """The database, a FIFO or a callout was used on an event loop that is not the server's; nothing was done."""


class Stopping(FrameworkError):
    """The runtime is shutting down and takes no new work."""
