"""The path of a request at its target: ``target.path`` with the variables of the route's path put in.

The one rule: **a variable is carried in the form in which it came**, byte for byte: it is not decoded on
the way, so it cannot become something else at the back end.
"""

from __future__ import annotations

from urllib.parse import quote

from framework.errors import HTTPError

# What a path's segment may hold as it is (RFC 3986, 3.3).
SEGMENT = "!$&'()*+,;=:@~"


class TargetPath:
    """``target.path`` of a route, compiled; without one, the path stays as it is."""

    def __init__(self, template: str | None, route: str) -> None:
        self._pieces: list[str | int] | None = None
        self._open = False  # the last segment is a variable, so a slash at the end is the request's
        if template is not None:
            positions = {part: number for number, part in enumerate(_parts(route)) if part.startswith("{")}
            parts = _parts(template)
            self._pieces = [
                positions[part] if part.startswith("{") else quote(part, safe=SEGMENT) for part in parts
            ]
            self._open = bool(parts) and parts[-1].startswith("{")
            self._slash = template.endswith("/")

    def of(self, raw_path: str) -> str:
        """The path at the target, encoded. ``HTTPError(404)`` where an empty variable leaves a gap in it."""
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


def encoded(path: str) -> str:
    """A path that a script has set, decoded as ``request.path`` is, in the form that is sent.

    ``TypeError`` for one that does not begin with a slash, or that leads elsewhere by ``.`` or ``..``.
    """
    fine = isinstance(path, str) and path.startswith("/") and "\\" not in path
    if not fine or {".", ".."} & set(path.split("/")):
        raise TypeError(f"request.path was set to {path!r}: a path begins with / and has no . or ..")
    return quote(path, safe=f"/{SEGMENT}")


def _parts(template: str) -> list[str]:
    return [part for part in template.split("/") if part]
