"""Items, names and keys that a FIFO accepts. A value comes back as it went in, or is refused."""

from __future__ import annotations

from collections.abc import Mapping

from framework.definitions.reading import MAX_NAME_LENGTH
from framework.errors import ItemRefused
from framework.values import jsontext

MAX_KEY_LENGTH = 1000
MAX_ITEM_DEPTH = 200  # as deep as the JSON of a field; what is much deeper could not be delivered


def checked_name(name: object) -> str:
    """The name of a FIFO. Raises ``ItemRefused`` for an invalid name."""
    if not isinstance(name, str) or not name:
        raise ItemRefused(f"a FIFO's name is a text that is not empty, not {name!r:.60}", name)
    if len(name) > MAX_NAME_LENGTH:
        raise ItemRefused(f"a FIFO's name has at most {MAX_NAME_LENGTH} characters, not {len(name)}", name)
    if not name.isprintable():
        raise ItemRefused(f"a FIFO's name has printable characters only: {name!r}", name)
    return name


def checked_key(key: object) -> str | None:
    """The key of an item, or None. Raises ``ItemRefused`` for an invalid key."""
    if key is None:
        return None
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_LENGTH:
        raise ItemRefused(f"a key is a text of 1 to {MAX_KEY_LENGTH} characters, not {key!r:.60}", key)
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ItemRefused("a key cannot have lone surrogates: it could not be stored", key) from None
    return key


def payload(fifo: str, item: object, most_bytes: int) -> str:
    """The item as JSON text. Raises ``ItemRefused`` for a value that is not JSON, or has more than ``most_bytes``."""
    if item is None:
        raise ItemRefused(f"FIFO {fifo!r}: None cannot be put; it is what an empty FIFO gives", item)
    try:
        _require_text_keys(item, MAX_ITEM_DEPTH)
        text = jsontext.encode(item)
    except (TypeError, ValueError, RecursionError) as error:
        raise ItemRefused(f"FIFO {fifo!r}: the item is not a JSON value: {error}", item) from None
    size = len(text) if text.isascii() else len(text.encode())
    if size > most_bytes:
        raise ItemRefused(
            f"FIFO {fifo!r}: the item has {size} bytes of JSON, {most_bytes} are allowed; "
            "store the data in an ATOM and put its id",
            item,
        )
    return text


def _require_text_keys(value: object, depth: int) -> None:
    """Refuse other keys than text. JSON would turn the key 1 into "1", so the value would not come back unchanged."""
    if isinstance(value, str | int | float) or value is None:
        return
    if depth == 0:
        raise ValueError(f"it is nested deeper than {MAX_ITEM_DEPTH} levels")
    if isinstance(value, Mapping):
        for key, element in dict.items(value) if isinstance(value, dict) else value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is no text")
            _require_text_keys(element, depth - 1)
    elif isinstance(value, list | tuple):
        for element in value:
            _require_text_keys(element, depth - 1)
