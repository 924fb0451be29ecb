"""What decisions ask an engine for: the names of all statements, what each is given, and what it answers.

An engine has one text for each ``Step`` that is answered by rows, a number of rows or a new id. For a step that
answers a value it has a function. Conditions that hold for all engines stand here; how they are kept is theirs.
"""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum, auto
from typing import Any, TypeVar

T = TypeVar("T")


class Answer(Enum):
    """What an engine sends back for a step."""

    NOTHING = auto()
    ROW = auto()  # a tuple; None when there is none
    ROWS = auto()  # a list of tuples
    COUNT = auto()  # how many rows were changed or deleted
    NEW_ID = auto()  # of the row that was inserted; None when none was
    VALUE = auto()  # from a function of the engine


class Step:
    """A statement by its name. ``parameters`` are their names, in the order in which a decision gives them."""

    __slots__ = ("answer", "name", "parameters")

    def __init__(self, name: str, answer: Answer, parameters: str = "") -> None:
        self.name = name
        self.answer = answer
        self.parameters = tuple(parameters.split())

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(self.parameters)})"


Asked = tuple[Step, tuple[Any, ...]]
Decision = Generator[Asked, Any, T]

NOTHING, ROW, ROWS, COUNT, NEW_ID, VALUE = Answer

# ---- of the engine itself ---------------------------------------------------------------------

# Is the process with this number alive? Never False while it may still work; a late True makes others wait, no more.
ALIVE = Step("ALIVE", VALUE, "process")
# Seconds on a clock that nobody can set, the same for all processes. It may begin anew with the machine.
STEADY = Step("STEADY", VALUE)
# Seconds since 1970 on the database's wall clock, the same for all processes. `now`, `put_at` and `at` of an operation
# are those of its sender: they are shown to people, and nothing is decided by them alone.
NOW = Step("NOW", VALUE)
# The time lived, now: see framework.storage.age. It is remembered that somebody has looked.
LIVED = Step("LIVED", VALUE)
# The time lived, the time lived when the database was first seen, and the wall clock; remembered as well.
LOOK = Step("LOOK", VALUE)

# ---- FIFOs ------------------------------------------------------------------------------------
# A FIFO's row is locked by the first step that reads or changes it, until the transaction ends: what was
# read of it is true until then. `length` counts its items, and an item put makes it no longer idle; the
# engine keeps both.

FIFO = Step("FIFO", ROW, "fifo")  # id, epoch, owner, item, paused, number of the last drain
NEW_FIFO = Step("NEW_FIFO", NOTHING, "fifo")  # unless it is there; its epoch begins above all forgotten ones
LENGTH = Step("LENGTH", ROW, "fifo")  # length
HELD = Step("HELD", ROW, "fifo_id")  # length, number of dead letters
TAKE = Step("TAKE", NOTHING, "fifo_id epoch owner item worker since")
LET_GO = Step("LET_GO", COUNT, "fifo item epoch")  # nothing is in work any more, if this claim holds
LET_GO_FENCED = Step("LET_GO_FENCED", COUNT, "fifo item epoch")  # and its epoch rises
CLAIM = Step("CLAIM", ROW, "fifo item epoch")  # a row, if this claim holds
PAUSE = Step("PAUSE", NOTHING, "fifo paused")
POLICY = Step("POLICY", NOTHING, "fifo policy")
DRAIN = Step("DRAIN", NOTHING, "at")  # its number is larger than any before
NO_DRAIN = Step("NO_DRAIN", COUNT)

# ---- items ------------------------------------------------------------------------------------
# Ids rise in the order of commit within a FIFO, and none is used twice.

PUT = Step("PUT", NEW_ID, "fifo payload key put_at request_id")  # no row when there is no such FIFO
# id, payload, attempts, crashes, put_at, held, not_before, delay, request_id, suspicion
HEAD = Step("HEAD", ROW, "fifo_id")
COUNT_ATTEMPT = Step(
    "COUNT_ATTEMPT", NOTHING, "item now"
)  # last_at is now; first_at as well, if there is none
TAKE_BACK = Step("TAKE_BACK", NOTHING, "item")  # one attempt
CRASHES = Step("CRASHES", ROW, "item")  # crashes
COUNT_CRASH = Step("COUNT_CRASH", NOTHING, "item crashes")  # instead of an attempt
SUSPECT = Step("SUSPECT", NOTHING, "item")  # instead of an attempt
GIVE_BACK = Step("GIVE_BACK", NOTHING, "item not_before delay")  # one attempt less
HOLD_BACK = Step("HOLD_BACK", NOTHING, "item held not_before delay reason traceback")  # no suspicion any more
HOLD = Step("HOLD", NOTHING, "item reason")  # the traceback of an earlier failure stays
DUE = Step("DUE", NOTHING, "item")  # neither held nor held back
DELETE_ITEM = Step("DELETE_ITEM", NOTHING, "item")
DROP = Step("DROP", COUNT, "fifo_id item")
PURGE = Step("PURGE", COUNT, "fifo_id kept upto limit")  # the first ones first; `kept` is an item or None

# Keys of puts. `since` is on the clock of LIVED. For a key that is older than this run of the machine, the wall clock
# has a say as well: it was put less than `window` before `at`.
KNOWN_KEY = Step("KNOWN_KEY", ROW, "fifo key since at window")  # item
KEEP_KEY = Step("KEEP_KEY", NOTHING, "fifo key item at lived")
FORGET_KEYS = Step("FORGET_KEYS", NOTHING, "fifo since")  # those of that time and before

# ---- dead letters -----------------------------------------------------------------------------

BURY = Step(
    "BURY", NOTHING, "item reason traceback died_at lived"
)  # a copy of the item; a traceback of None: its own
DEAD = Step("DEAD", ROWS, "fifo_id dead_id upto limit")  # id, the first ones first; a dead_id of None: any
REDRIVE = Step("REDRIVE", NEW_ID, "dead_id")  # a new item of it, attempt 0
DELETE_DEAD = Step("DELETE_DEAD", NOTHING, "dead_id")
# Of those that died before both times; None is no bound, and so is a row without the second.
PURGE_DEAD = Step("PURGE_DEAD", COUNT, "fifo_id dead_id before lived_before upto limit")

# ---- a FIFO that is of no use -----------------------------------------------------------------

# Those without an item, a letter and a policy, and not paused: idle since now, unless they were before.
MARK_IDLE = Step("MARK_IDLE", NOTHING, "lived")
IDLE_FIFOS = Step("IDLE_FIFOS", ROWS, "since limit")  # fifo_id; idle since before that
FORGET_SOME_KEYS = Step("FORGET_SOME_KEYS", COUNT, "fifo_id limit")
KEEP_EPOCH = Step("KEEP_EPOCH", NOTHING, "fifo_id")  # no FIFO begins below it from now on
FORGET = Step("FORGET", NOTHING, "fifo_id")

# ---- processes --------------------------------------------------------------------------------

REGISTER = Step("REGISTER", NEW_ID, "host pid started_at")
IDLE_PROCESSES = Step("IDLE_PROCESSES", ROWS, "started_before")  # id; nothing in work
FORGET_PROCESS = Step("FORGET_PROCESS", NOTHING, "process")
FORGET_PROBLEMS = Step("FORGET_PROBLEMS", NOTHING, "process")
BEGIN_STOP = Step("BEGIN_STOP", NOTHING, "process")  # if it has anything in work
STOPPING = Step("STOPPING", ROW, "process")  # a row, if it has begun to stop
BUSY = Step("BUSY", ROW, "process")  # a row, if it has anything in work
IN_WORK = Step("IN_WORK", ROW, "fifo process item")  # a row, if it has this in work
ORPHANS = Step("ORPHANS", ROWS, "process")  # fifo_id and item: all that it has in work
ORPHAN = Step("ORPHAN", NOTHING, "fifo_id")  # nothing is in work any more, and the epoch rises
PROBLEM = Step("PROBLEM", NOTHING, "process worker problem since")  # instead of one before
NO_PROBLEM = Step("NO_PROBLEM", NOTHING, "process worker")

# ---- requests that may come twice -------------------------------------------------------------
# A second BEGIN_REQUEST of one request waits for the transaction of the first, as FIFO does.

REQUEST = Step("REQUEST", ROW, "account method path key since")  # fingerprint, process, status, headers, body
BEGIN_REQUEST = Step("BEGIN_REQUEST", NOTHING, "account method path key fingerprint process now lived")
ANSWER_REQUEST = Step("ANSWER_REQUEST", COUNT, "account method path key process status headers body")
UNMARK_REQUEST = Step("UNMARK_REQUEST", NOTHING, "account method path key process")

# ---- records and ages -------------------------------------------------------------------------

AUDIT = Step("AUDIT", NEW_ID, "at user host pid action target arguments affected lived")
AUDIT_MORE = Step("AUDIT_MORE", NOTHING, "number affected")

# A row without a mark of time lived counts as of `first`, and is told by the wall clock as well.
_PRUNE = "lived first wall kept limit"
PRUNE_DEAD = Step("PRUNE_DEAD", COUNT, _PRUNE)
PRUNE_AUDIT = Step("PRUNE_AUDIT", COUNT, _PRUNE)
PRUNE_TOKENS = Step("PRUNE_TOKENS", COUNT, _PRUNE)
PRUNE_LOGONS = Step("PRUNE_LOGONS", COUNT, _PRUNE)
PRUNE_REQUESTS = Step("PRUNE_REQUESTS", COUNT, _PRUNE)
PRUNE_UNMARKED_REQUESTS = Step("PRUNE_UNMARKED_REQUESTS", COUNT, _PRUNE)
PRUNE_KEYS = Step("PRUNE_KEYS", COUNT, _PRUNE)

# ---- rows of any table ------------------------------------------------------------------------
# The statements are made of the table, by framework.storage.codec. What was read stays true until the
# transaction ends: a row that is referred to may not go away meanwhile, nor a reference appear.

EXECUTE = Step("EXECUTE", VALUE, "statement")  # an Executed
INSERT_ROW = Step("INSERT_ROW", VALUE, "table values")
# How many rows, of those that have the expected values.
UPDATE_ROW = Step("UPDATE_ROW", VALUE, "table key_column key values expected")
DELETE_ROW = Step("DELETE_ROW", VALUE, "table key_column key expected")
ROW_BY_KEY = Step("ROW_BY_KEY", VALUE, "table key_column key")  # a mapping or None
FIRST = Step("FIRST", VALUE, "table wanted column value")  # a tuple of the wanted column of some row, or None
INSERT_LINKS = Step("INSERT_LINKS", VALUE, "table owner targets")

STEPS = tuple(value for value in globals().values() if isinstance(value, Step))
