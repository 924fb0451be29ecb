"""The body of a request as JSON, which the whole framework reads in the same way.

The one rule: **ambiguous JSON is refused** (RFC 8259, 4 and 8.1; RFC 7493): repeated keys, encodings other than
UTF-8, a byte order mark, NaN and Infinity.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from framework.errors import HTTPError
from framework.values import jsontext

NOT_JSON = "the request's body is not JSON"
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class _EmptyText(str):
    """The text of an empty body. It is distinguishable from any other empty text when a script fails to parse it."""

    __slots__ = ()

    def strip(self, *args: Any) -> _EmptyText:
        return self


class _EmptyBody(bytes):
    """An empty body."""

    __slots__ = ()

    def decode(self, *args: Any, **kwargs: Any) -> str:
        return EMPTY_TEXT


EMPTY_TEXT = _EmptyText()
EMPTY = _EmptyBody()


def decoded(body: bytes, *, strict: bool = True) -> Any:
    """The value of a JSON text. Raises ``HTTPError(400)``, which says why it is not valid JSON.

    Without ``strict`` it is read as leniently as scripts read it by ``json.loads``.
    """
    try:
        if not strict:
            return json.loads(body)
        if body.startswith(_MARKS) or b"\0" in body[:4]:
            raise HTTPError(400, "the request's body must be UTF-8, without a byte order mark")
        return _STRICT.decode(body.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        raise HTTPError(400, "the request's body must be UTF-8") from None
    except json.JSONDecodeError:
        raise HTTPError(400, NOT_JSON) from None
    except RecursionError:
        raise HTTPError(400, f"{NOT_JSON}: it is nested too deeply") from None
    except jsontext.RepeatedKey:
        raise HTTPError(400, "an object in the request's body has the same key twice") from None
    except ValueError:
        raise HTTPError(400, too_long()) from None


def too_long() -> str:
    """The message for a body that has an integer with more digits than the interpreter reads."""
    return f"the request's body has a whole number of more than {sys.get_int_max_str_digits()} digits"


def _no_number(text: str) -> Any:
    raise HTTPError(400, "the request's body has a number that JSON does not know")


# Made once, because `json.loads` would make one at each call.
_STRICT = json.JSONDecoder(object_pairs_hook=jsontext.unambiguous, parse_constant=_no_number)
