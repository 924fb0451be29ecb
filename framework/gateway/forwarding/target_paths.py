"""The path of a request at its target: ``target.path`` with the values of the route's variables.

The one rule: **a variable is passed on byte for byte.** It is not decoded on the way, so it cannot become something
else at the back end.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from framework.errors import HTTPError
from framework.gateway.paths import CONTROL, DOTS

# The characters that a path segment may contain unencoded (RFC 3986, 3.3).
SEGMENT = "!$&'()*+,;=:@~"


class TargetPath:
    """The compiled ``target.path`` of a route. Without one, the path stays as it is."""

    def __init__(self, template: str | None, route: str) -> None:
        self._pieces: list[str | int] | None = None
        self._open = False  # the last segment is a variable, so a slash at the end comes from the request
        if template is not None:
            positions = {part: number for number, part in enumerate(_parts(route)) if part.startswith("{")}
            parts = _parts(template)
            self._pieces = [
                positions[part] if part.startswith("{") else quote(part, safe=SEGMENT) for part in parts
            ]
            self._open = bool(parts) and parts[-1].startswith("{")
            self._slash = template.endswith("/")

    def of(self, raw_path: str) -> str:
        """The encoded path at the target. Raises ``HTTPError(404)`` if an empty variable leaves a gap in it."""
        if self._pieces is None:
            return raw_path
        given = raw_path[1:].split("/")
        path = ""
        last = len(self._pieces) - 1
        for number, piece in enumerate(self._pieces):
            if isinstance(piece, str):
                path += f"/{piece}"
            elif piece < len(given) and given[piece]:
                path += f"/{given[piece]}"
            elif number != last:
                raise HTTPError(404, "no route takes this path: a segment is empty")
        slash = raw_path.endswith("/") if self._open else self._slash
        return f"{path}/" if slash or not path else path


def mistake(path: object) -> str | None:
    """What is wrong with a path that a script sets, decoded like ``request.path``, or None.

    It is checked by the rules for a client's path, and again in the form that a back end sees which decodes it twice.
    """
    if not isinstance(path, str):
        return f"is not text but a {type(path).__name__}"
    if not path.startswith("/") or path.startswith("//"):
        return "does not begin with one slash"
    if not path.isascii() and any("\ud800" <= letter <= "\udfff" for letter in path):
        return "has a lone surrogate"
    for read in (path, unquote(path)) if "%" in path else (path,):
        if CONTROL.search(read):
            return "has a control character"
        if "\\" in read or read.count("/") != path.count("/"):
            return "has a backslash or an encoded slash"
        if any(map(DOTS.fullmatch, read.split("/"))):
            return "has a segment '.' or '..'"
    return None


def encoded(path: str) -> str:
    """A path that a script has set, in the form in which it is sent."""
    return quote(path, safe=f"/{SEGMENT}")


def _parts(template: str) -> list[str]:
    return [part for part in template.split("/") if part]
