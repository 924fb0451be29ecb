"""What the parsers of one run share: the report, the environment, and every script found.

The rule: parsers report and go on. They leave out what they cannot read, so that one mistake does not hide another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite

from .location import Location
from .nodes import MapNode, ScalarNode
from .problem import Report, quoted
from .script import Compiled, Script, compile_script
from .trial import Trials

MAX_NAME_LENGTH = 200
"""The most characters in the name of a FIFO, a worker or a role. Logs and tables show it on one line."""


@dataclass(slots=True)
class Reading:
    """One run of the check."""

    report: Report
    environ: Mapping[str, str]
    compiled: list[Compiled] = field(default_factory=list)
    trials: Trials = field(default_factory=Trials)
    doubtful: set[Location] = field(default_factory=set)
    """Routes of which script or target could not be read, so that nothing is said of how they answer."""

    def label(self, node: MapNode, key: str, what: str) -> str | None:
        """A name for people, or None. Logs and tables show it raw, so it must not contain line breaks or control
        characters."""
        name = node.text(key)
        if name is not None and (len(name) > MAX_NAME_LENGTH or not name.isprintable()):
            message = (
                f"{what} cannot be called {quoted(name)}: "
                f"a name has at most {MAX_NAME_LENGTH} printable characters"
            )
            self.report.error(node.value_location(key), "wrong-value", message)
        return name

    def finite(self, node: MapNode, key: str, default: float) -> float:
        """The number of a key. An infinite one or NaN is a mistake that a JSON Schema cannot express."""
        value = node.number(key)
        if value is None:
            return default
        if not isfinite(value):
            location = node.value_location(key)
            self.report.error(location, "wrong-value", f"`{key}` must be a finite number, not `{value}`")
            return default
        return float(value)

    def script(
        self,
        scalar: ScalarNode,
        *,
        name: str,
        names: Iterable[str],
        parameters: tuple[str, ...] = (),
        owner: str | None = None,
        rooted: bool = False,
    ) -> Script | None:
        """Compile a script, and keep it for the rules that check all scripts."""
        found = compile_script(
            scalar,
            name=name,
            names=names,
            report=self.report,
            parameters=parameters,
            owner=owner,
            rooted=rooted,
        )
        if found is None:
            return None
        self.compiled.append(found)
        return found.script
