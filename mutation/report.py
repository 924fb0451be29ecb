"""What became of the mutants of a part.

A mutant is killed when a test of its part fails or hangs on it. It does not count when mypy refuses it, when it changes
only a text for people or the call of a logger, or when ``equivalent.toml`` says why it behaves like the original. All
others are alive.
"""

from __future__ import annotations

import ast
import difflib
import io
import json
import textwrap
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mutation.parts import Part

WANTED = 0.9  # of the mutants that change behaviour

_EQUIVALENT = Path(__file__).parent / "equivalent.toml"
# Exit codes as mutmut notes them: a test failed, pytest broke down, and several of a hang or a crash.
KILLED = frozenset({1, 3, 36, -24, 24, 152, 255, -11, -9})

_FATES = {0: "survived", 5: "no test", 33: "no test", 37: "refused", None: "not run"}
_SUFFIX = " # type: ignore # mutmut generated"


@dataclass(frozen=True)
class Mutant:
    """One change of one function: the lines before and after, without indentation."""

    name: str
    module: str
    function: str
    fate: str  # killed, refused (by mypy), survived, no test, not run
    before: tuple[str, ...]
    after: tuple[str, ...]
    logged: bool  # does it change nothing but the call of a logger?

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is known by in ``equivalent.toml``; numbers of mutants change with every edit."""
        return self.module, self.function, "\n".join(self.before), "\n".join(self.after)

    @property
    def wording(self) -> bool:
        """Does it change nothing but a text for people, which is one with a blank in it?"""
        before, after = _tokens(self.before), _tokens(self.after)
        if before is None or after is None or len(before) != len(after):
            return False
        changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        return bool(changed) and all(_is_text(old) and new[:1] in "\"'bf" for old, new in changed)


@dataclass(frozen=True)
class Report:
    """The mutants of a part, by what became of them."""

    part: str
    killed: int
    refused: int
    worded: int
    logged: int
    equivalent: int
    alive: tuple[Mutant, ...]

    @classmethod
    def of(cls, part: Part, place: Path) -> Report:
        """Read what the last run of the part found in ``place``."""
        known = _equivalents()
        count: Counter[str] = Counter()
        alive = []
        for mutant in _mutants(place / "mutants", part):
            if mutant.fate in ("killed", "refused"):
                count[mutant.fate] += 1
            elif mutant.wording:
                count["worded"] += 1
            elif mutant.logged:
                count["logged"] += 1
            elif mutant.key in known:
                count["equivalent"] += 1
            else:
                alive.append(mutant)
        return cls(
            part=part.name,
            killed=count["killed"],
            refused=count["refused"],
            worded=count["worded"],
            logged=count["logged"],
            equivalent=count["equivalent"],
            alive=tuple(alive),
        )

    @property
    def share(self) -> float:
        """How many of those that change behaviour are killed."""
        counted = self.killed + len(self.alive)
        return self.killed / counted if counted else 0.0

    @property
    def reached(self) -> bool:
        """Is the share large enough, and was each mutant run?"""
        return self.share >= WANTED and not any(mutant.fate == "not run" for mutant in self.alive)


def render(reports: Sequence[Report], *, diff: bool) -> str:
    """A table of the parts, then each mutant that is alive."""
    lines = [
        f"{'part':16}{'killed':>8}{'alive':>8}{'share':>8}{'equivalent':>12}{'types':>7}{'wording':>9}{'log':>6}"
    ]
    lines += [
        f"{one.part:16}{one.killed:>8}{len(one.alive):>8}{one.share:>8.1%}{one.equivalent:>12}"
        f"{one.refused:>7}{one.worded:>9}{one.logged:>6}"
        for one in reports
    ]
    for one in reports:
        for mutant in one.alive:
            lines.append(f"{one.part}: {mutant.name} {mutant.fate}")
            if diff:
                lines += [f"    - {line}" for line in mutant.before]
                lines += [f"    + {line}" for line in mutant.after]
    return "\n".join(lines)


def to_json(reports: Iterable[Report]) -> str:
    """The same for programs."""
    return json.dumps(
        [
            {
                "part": one.part,
                "killed": one.killed,
                "share": round(one.share, 4),
                "equivalent": one.equivalent,
                "types": one.refused,
                "wording": one.worded,
                "log": one.logged,
                "alive": [
                    {
                        "name": mutant.name,
                        "fate": mutant.fate,
                        "before": mutant.before,
                        "after": mutant.after,
                    }
                    for mutant in one.alive
                ],
            }
            for one in reports
        ],
        indent=2,
    )


@cache
def _equivalents() -> frozenset[tuple[str, str, str, str]]:
    entries = tomllib.loads(_EQUIVALENT.read_text()).get("mutant", [])
    return frozenset((one["module"], one["function"], one["before"], one["after"]) for one in entries)


def _mutants(mutated: Path, part: Part) -> Iterable[Mutant]:
    for module in part.files:
        meta = mutated / f"{module}.meta"
        if not meta.exists():
            raise SystemExit(f"there is no result for {module}; run `python -m mutation {part.name}` first")
        fates = json.loads(meta.read_text())["exit_code_by_key"]
        spans = json.loads((mutated / f"{module}.spans").read_text())["spans"]
        lines = (mutated / module).read_text().splitlines()
        for name, code in fates.items():
            generated = name.rpartition(".")[2]
            stem = generated.rpartition("__mutmut_")[0]
            change = _changed(lines, spans[f"{stem}__mutmut_orig"], spans[generated])
            yield Mutant(
                name=name,
                module=module,
                function=stem.removeprefix("x_").removeprefix("xǁ").replace("ǁ", "."),
                fate="killed" if code in KILLED else _FATES.get(code, "not run"),
                before=change.before,
                after=change.after,
                logged=change.logged,
            )


@dataclass(frozen=True)
class _Change:
    before: tuple[str, ...]
    after: tuple[str, ...]
    logged: bool


def _changed(lines: Sequence[str], original: Sequence[int], mutant: Sequence[int]) -> _Change:
    """The lines that differ, the names of the two functions aside."""
    old, new = (_body(lines[start - 1 : end]) for start, end in (original, mutant))
    calls = _logger_calls(lines[original[0] - 1 : original[1]])
    before: list[str] = []
    after: list[str] = []
    touched: set[int] = set()
    for tag, first, last, start, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            before += old[first:last]
            after += new[start:end]
            touched.update(range(first, max(last, first + 1)))
    return _Change(tuple(before), tuple(after), bool(touched) and touched <= calls)


def _logger_calls(lines: Sequence[str]) -> set[int]:
    """The lines of a function, from 0, that are calls of a logger."""
    tree = ast.parse(textwrap.dedent("\n".join(lines)))
    return {
        line - 1
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger.")
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def _body(lines: Sequence[str]) -> list[str]:
    stripped = [line.strip().removesuffix(_SUFFIX) for line in lines]
    return [line.split("(", 1)[1] if "def x" in line and "(" in line else line for line in stripped]


def _tokens(lines: Sequence[str]) -> list[str] | None:
    source = "(\n" + "\n".join(lines) + "\n)"
    try:
        return [token.string for token in tokenize.generate_tokens(io.StringIO(source).readline)]
    except (tokenize.TokenError, IndentationError, SyntaxError):
        return None


def _is_text(token: str) -> bool:
    return (token[:1] in "\"'" and " " in token) or token[:2] in ('f"', "f'")
