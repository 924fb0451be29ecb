"""A user's mistake in the definitions, and the list of every code that one can carry.

The rule: a mistake is a value. All mistakes are collected and shown at once, and nothing here raises or logs. The
only exception is for what keeps the check from running at all (`CannotRun`).
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from .location import Location

Severity = Literal["error", "warning"]

CODES: Mapping[str, str] = MappingProxyType(
    {
        # files and YAML
        "unreadable": "the file or folder cannot be read",
        "not-a-file": "a folder, pipe or device has the name of a definition file",
        "unread-file": "a file's name looks like that of a definition file, except for its suffix",
        "too-large": "the file, its nesting or the expansion of its aliases is too large",
        "encoding": "the file is not UTF-8 text",
        "yaml": "the text is not well-formed YAML",
        "yaml-tag": "a YAML tag makes a value other than text, numbers, lists and mappings",
        "yaml-alias": "an alias has no anchor, or is inside its own anchor",
        "yaml-number": "a number would lose its exact value",
        "merge-key": "a YAML merge key (<<), which is not supported",
        "duplicate-key": "a mapping has the same key twice",
        "key-type": "a key is not text",
        "empty-folder": "no definition was found in the folder",
        # kinds and keys
        "not-a-mapping": "a definition is not a mapping of keys to values",
        "no-kind": "the keys do not tell which kind of definition it is",
        "not-run-here": "an export of the platform is of a kind that this framework does not run",
        "two-kinds": "the keys belong to more than one kind of definition",
        "unknown-key": "this kind of definition does not have the key",
        "missing-key": "a required key is missing or empty",
        "wrong-type": "a value is not of the type that its key requires",
        "wrong-value": "a value is not one of those that its key accepts",
        # ATOM
        "duplicate-class": "two ATOM classes have the same name",
        "class-name": "a class cannot have this name",
        "no-such-class": "an ATOM class that does not exist is used",
        "extends-cycle": "a class extends itself, directly or through others",
        "extends": "the classes that a class extends are not compatible with each other, or with it",
        "field-name": "a field cannot have this name",
        "duplicate-field": "two fields of a class have the same name",
        "field-enum": "a member of an enum is not a value of the field's type",
        "field-format": "a field's format is neither a known name nor a JSON Schema",
        "field-alias": "a field's alias is not a valid name, or is another field's name",
        "field-dbtype": "a column's type is unknown, or would alter the field's values",
        "field-length": "a length has no effect on a field that is not text",
        "field-metadata": "an index that a field cannot have",
        "field-persistence": "a field without a column cannot have this key",
        "field-unique": "the database cannot compare the values of a unique field",
        "renamed-from": "a former name is still in use",
        "default": "a default is not a value that the field accepts",
        "default-text": "a default looks like a call, and counts as text",
        "identifier-default": "an identifier's default is the same for every instance",
        "enum-default": "a default is not a member of the field's enum",
        "method": "a method is not one function with a first argument for its class or instance",
        "method-name": "a method cannot have this name",
        "transition": "a transition between states of a field is impossible",
        "reference": "a field cannot refer to another class in this way",
        "api": "the settings of a class's generated endpoints contradict each other",
        # routing
        "duplicate-path": "two routes take the same path",
        "path": "a path template is malformed or reserved",
        "no-authorization": "a route does not say whether it is open",
        "authority": "an authority is not the URL of a host",
        "environment": "an environment variable of the definition is not set",
        "no-target": "a request can end without an answer: there is no target",
        "target-loop": "a request can be forwarded to the gateway itself, on the same path",
        "idempotency-target": "a route with `idempotency` can let a request go on to its target",
        "idempotency-open": "an open route with `idempotency` does not say what distinguishes its callers",
        "idempotency-headers": "a route has `idempotency_headers` without `idempotency`",
        "json-schema": "a JSON Schema of a route's `validation` cannot be used",
        "schema-keyword": "a schema has a keyword that JSON Schema does not have, so it has no effect",
        # worker, FIFO, module, role
        "duplicate-worker": "two workers have the same name",
        "worker-function": "a worker's script does not define one coroutine function to call",
        "duplicate-fifo": "two policies are for the same FIFO",
        "fifo-unread": "a FIFO is filled and never read in this folder",
        "fifo-shared": "two workers read the same FIFO",
        "duplicate-module": "two modules have the same name",
        "no-such-module": "a module that does not exist is used",
        "duplicate-role": "two roles have the same name",
        "regex": "a regular expression is malformed",
        "regex-slow": "a role's regular expression can take for ever on some path",
        "regex-variable": "a role's regular expression has `{name}`, which is not a variable there",
        # scripts
        "script-folded": "a script is written as a folded (>) block, which destroys its lines",
        "script-syntax": "a script is not valid Python",
        "script-yield": "a routing script uses yield",
        "script-warning": "Python warns about a script",
        "not-awaited": "a script uses a coroutine as if it were its result, or awaits what is not a coroutine",
        "unknown-member": "a built-in object or class has no such attribute, or takes no such argument",
        "no-import": "a module that a script imports is not installed here",
        "no-setting": "a setting that a script reads has no variable in the environment",
        "unseen-name": "a script uses a name that it cannot see",
    }
)


_CAUSES = frozenset(("yaml", "yaml-tag", "yaml-number"))
_ECHOES = frozenset(("wrong-type", "wrong-value", "missing-key", "not-a-mapping", "default", "field-enum"))
"""What is not told of a value that YAML itself has been refused at the same place."""


_LONGEST = 60  # characters of a value that a message quotes
_HEAD, _TAIL = 42, 15
_MOST_LISTED = 12
_LONGEST_WORD = 100  # a longer one is not a misspelt name
_MOST_COMPARED = 2_000_000  # letters of words
_ESCAPED = {10: "\\n", 13: "\\r", 9: "\\t", 0: "\\0"}


class CannotRun(Exception):
    """The check could not run at all. The message says why."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: its location, severity and code, what is wrong, and perhaps what to do."""

    location: Location
    severity: Severity
    code: str
    message: str
    hint: str | None = None
    related: tuple[Location, ...] = ()


@dataclass(slots=True)
class Report:
    """Collects the problems of one run, each once."""

    _problems: dict[Problem, None] = field(default_factory=dict)
    _compared: int = 0

    def error(
        self,
        location: Location,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        related: tuple[Location, ...] = (),
    ) -> None:
        """Add a mistake that stops the start."""
        self._problems[Problem(location, "error", code, message, hint, related)] = None

    def warning(
        self,
        location: Location,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        related: tuple[Location, ...] = (),
    ) -> None:
        """Add a warning, which does not stop the start."""
        self._problems[Problem(location, "warning", code, message, hint, related)] = None

    def did_you_mean(self, word: str, known: Collection[str]) -> str | None:
        """Like the function of that name. A run that has compared too many words gives no more hints."""
        self._compared += len(known) * len(word)
        return did_you_mean(word, known) if self._compared <= _MOST_COMPARED else None

    def extend(self, other: Report) -> None:
        """Add everything that another report has collected."""
        self._problems |= other._problems

    def errors(self) -> tuple[Problem, ...]:
        """The collected errors, which stop the start."""
        return tuple(problem for problem in self.problems() if problem.severity == "error")

    def problems(self) -> tuple[Problem, ...]:
        """Everything collected, in the order of path, line and column."""
        echoed = {problem.location for problem in self._problems if problem.code in _CAUSES}
        told = (p for p in self._problems if p.code not in _ECHOES or p.location not in echoed)
        return tuple(sorted(told, key=lambda p: (p.location, p.severity, p.code, p.message)))


def quoted(value: object) -> str:
    """A value as a message quotes it: in backticks, on one line, shortened in the middle."""
    text = value if isinstance(value, str) else clipped(repr(value))
    return f"`{clipped(text).translate(_ESCAPED)}`"


def clipped(text: str) -> str:
    """A text of at most one line. The middle of a longer one is left out."""
    return text if len(text) <= _LONGEST else f"{text[:_HEAD]}...{text[-_TAIL:]}"


def listed(values: Iterable[object]) -> str:
    """Values as a message lists them: `a`, `b` or `c`. Of many, it lists the first ones and how many more there
    are."""
    named = [*values]
    shown = [quoted(value) for value in named[:_MOST_LISTED]]
    if len(named) > len(shown):
        return f"{', '.join(shown)} or one of {len(named) - len(shown)} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}" if shown else "nothing"


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word that was probably meant. A higher ``cutoff`` (0 to 1) requires a closer one."""
    if len(word) > _LONGEST_WORD:
        return None
    matcher = difflib.SequenceMatcher()
    matcher.set_seq2(word)
    letters, best, alike = _letters(word), (0.0, ""), []
    for choice in {*known} - {word}:
        if choice.lower() == word.lower():
            alike.append(choice)
        least = max(cutoff, best[0])
        if _may_be(len(word), letters, choice, least):
            matcher.set_seq1(choice)
            if matcher.quick_ratio() >= least:
                best = max(best, (matcher.ratio(), choice))
    if best[0] >= cutoff:
        return best[1]
    return min(alike, default=None)


def _may_be(length: int, letters: int, choice: str, cutoff: float) -> bool:
    """Whether two words can be that close: a quick upper bound from their lengths and letters."""
    mine = len(choice)
    if not 0 < mine <= _LONGEST_WORD:
        return False
    others = _letters(choice)
    common = min(length - (letters & ~others).bit_count(), mine - (others & ~letters).bit_count())
    return 2.0 * common >= cutoff * (length + mine)


@functools.lru_cache(maxsize=4096)
def _letters(word: str) -> int:
    """The letters of a word as the bits of a number."""
    found = 0
    for character in word:
        found |= 1 << (ord(character) & 127)
    return found


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The hint for a misspelt word, if there is one."""
    found = nearest(word, known, cutoff=0.7)  # among all names that a script sees, one is always close
    return f"did you mean `{found}`?" if found else None
