"""``GET /-/database``: the proof that this server works on a certain database, for who writes into it too.

The rule: **it tells nothing to anybody else.** The answer is keyed by the hash of a token, which only a reader
of the database knows; whether there is such a token does not show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from framework import tokens
from framework.gateway.responses import Response, make, problem
from framework.storage import Storage

_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_NONCE = re.compile(r"[0-9a-f]{32}", re.ASCII)


async def answer(storage: Storage, asked: Mapping[str, list[str]]) -> Response:
    """The answer to a ``tokens.Challenge`` that stands in the query as ``token`` and ``nonce``."""
    number, nonce = asked.get("token", [""])[0], asked.get("nonce", [""])[0]
    if not _NUMBER.fullmatch(number) or not _NONCE.fullmatch(nonce):
        return problem(400, "token is a token's number, nonce 32 hexadecimal digits")
    return make(200, {"proof": await tokens.answer(storage, int(number), nonce)})
