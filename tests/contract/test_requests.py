"""A request that comes twice is answered once: its mark, its response, and who may change them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from framework.errors import ClaimLost, RequestInProgress, RequestMismatch
from framework.storage import Storage
from framework.storage.operations import BeginRequest, EndRequest, Prune, RequestKey, StoredResponse

from .processes import Child

pytestmark = pytest.mark.anyio

KEY = RequestKey("alice", "POST", "/orders", "key-1")
BEGIN = BeginRequest(KEY, b"print", 1000.0, 60.0)
RESPONSE = StoredResponse(201, '[["a", "b"]]', b"\x00body")
Another = Callable[[], Awaitable[Storage]]


async def one(storage: Storage, operation: Any) -> Any:
    [answer] = await storage.write([operation])
    return answer


async def test_the_response_of_a_request_is_replayed_to_its_repetition(
    storage: Storage, another: Another
) -> None:
    assert await one(storage, BEGIN) is None
    assert await one(storage, EndRequest(KEY, RESPONSE)) is None
    assert await one(storage, BEGIN) == RESPONSE
    assert await one(await another(), BEGIN) == RESPONSE, "whichever process the repetition comes to"


@pytest.mark.parametrize(
    "change", [{"account": "bob"}, {"method": "PUT"}, {"path": "/others"}, {"key": "key-2"}]
)
async def test_a_request_of_another_sender_target_or_key_is_another_one(
    storage: Storage, change: dict[str, str]
) -> None:
    await storage.write([BEGIN, EndRequest(KEY, RESPONSE)])
    other = replace(KEY, **change)
    assert await one(storage, replace(BEGIN, request=other)) is None
    await one(storage, EndRequest(other, None))
    assert await one(storage, BEGIN) == RESPONSE, "and its end is none of the first one's"


async def test_a_key_with_other_contents_is_refused(storage: Storage) -> None:
    other = replace(BEGIN, fingerprint=b"other")
    await one(storage, BEGIN)
    with pytest.raises(RequestMismatch, match="other contents"):
        await one(storage, other)
    await one(storage, EndRequest(KEY, RESPONSE))
    with pytest.raises(RequestMismatch):
        await one(storage, other)


async def test_what_another_process_has_in_progress_is_refused_and_its_own_begins_anew(
    storage: Storage, another: Another
) -> None:
    other = await another()
    await one(storage, BEGIN)
    with pytest.raises(RequestInProgress, match="still being answered"):
        await one(other, BEGIN)
    assert await one(storage, BEGIN) is None
    await one(storage, EndRequest(KEY, RESPONSE))
    assert await one(other, BEGIN) == RESPONSE


async def test_the_mark_of_a_dead_process_is_void(storage: Storage, url: str) -> None:
    main = """
        await db.write([BeginRequest(RequestKey("alice", "POST", "/orders", "key-1"), b"print", 1000.0, 60.0)])
        say("begun")
        await hear()
    """
    child = await Child.start(main, url)
    assert await child.line() == "begun"
    with pytest.raises(RequestInProgress):
        await one(storage, BEGIN)
    await child.kill()
    assert await one(storage, BEGIN) is None
    await one(storage, EndRequest(KEY, RESPONSE))
    assert await one(storage, BEGIN) == RESPONSE


async def test_a_mark_that_is_taken_away_leaves_the_request_to_everybody(
    storage: Storage, another: Another
) -> None:
    await one(storage, BEGIN)
    await one(storage, EndRequest(KEY, None))
    other = await another()
    assert await one(other, replace(BEGIN, fingerprint=b"other")) is None
    await one(storage, EndRequest(KEY, None))  # not ours any more, and no error
    with pytest.raises(RequestInProgress):
        await one(storage, replace(BEGIN, fingerprint=b"other"))


async def test_a_response_to_a_request_that_is_not_ours_is_an_error_and_changes_nothing(
    storage: Storage, another: Another
) -> None:
    with pytest.raises(ClaimLost, match="the request no longer belongs"):
        await one(storage, EndRequest(KEY, RESPONSE))
    await one(storage, BEGIN)
    other = await another()
    await other.register()
    with pytest.raises(ClaimLost):
        await one(other, EndRequest(KEY, replace(RESPONSE, status=500)))
    await one(storage, EndRequest(KEY, RESPONSE))
    with pytest.raises(ClaimLost):  # answered before
        await one(storage, EndRequest(KEY, replace(RESPONSE, status=500)))
    assert await one(storage, BEGIN) == RESPONSE


async def test_what_is_too_old_counts_no_more(storage: Storage) -> None:
    """By the database's own clock, which no wrong clock of a machine moves."""
    await storage.write([BEGIN, EndRequest(KEY, RESPONSE)])
    assert await one(storage, replace(BEGIN, now=10.0**10)) == RESPONSE
    assert await one(storage, replace(BEGIN, fingerprint=b"other", kept=-1.0)) is None
    await one(storage, EndRequest(KEY, replace(RESPONSE, status=202)))
    assert (await one(storage, replace(BEGIN, fingerprint=b"other"))).status == 202


async def test_old_responses_are_deleted_in_portions(storage: Storage) -> None:
    for number in range(3):
        await one(storage, replace(BEGIN, request=replace(KEY, key=str(number))))
    assert await one(storage, Prune("responses", 60.0, 10)) == 0
    assert await one(storage, Prune("responses", -1.0, 2)) == 2
    assert await one(storage, Prune("responses", -1.0, 2)) == 1
