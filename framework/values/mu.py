"""MU, the mutable universal object: a dict whose keys are attributes as well.

A key always wins over a method: ``order.items`` is the field ``items`` if there is one. Only ``dictionary``,
``yaml_format``, ``json_format`` and ``b64`` are reserved. A key of such a name is reached by ``[]``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from framework.values import jsontext, yamltext

_OWN = frozenset({"dictionary", "yaml_format", "json_format", "b64"})


class MU(dict[str, Any]):
    """``MU(mapping, **fields)``. Nested mappings become MU, also inside lists."""

    __slots__ = ()

    def __init__(self, *args: Mapping[str, Any] | Iterable[tuple[str, Any]], **fields: Any) -> None:
        super().__init__()
        for key, value in dict(*args, **fields).items():
            dict.__setitem__(self, key, wrap(value))

    def __getattribute__(self, name: str) -> Any:
        if name not in _OWN and not name.startswith("__"):
            try:
                return dict.__getitem__(self, name)
            except KeyError:
                pass
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            raise AttributeError(f"{name} is computed; a key of this name is set by [{name!r}]")
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setitem__(self, key: str, value: Any) -> None:
        dict.__setitem__(self, key, wrap(value))

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return dict.__getitem__(self, key)

    def update(self, *args: Any, **fields: Any) -> None:
        for key, value in dict(*args, **fields).items():
            self[key] = value

    def copy(self) -> MU:
        return MU(self)

    def __or__(self, other: Any) -> Any:
        return self + other if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Any) -> MU:  # type: ignore[override]
        return self.__iadd__(other)

    def __add__(self, other: Mapping[str, Any]) -> MU:
        merged = MU(self)
        merged += other
        return merged

    def __iadd__(self, other: Mapping[str, Any]) -> MU:
        for key, value in dict(other).items():
            self[key] = value
        return self

    def __copy__(self) -> MU:
        return MU(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> MU:
        return MU(self.dictionary)

    def __reduce__(self) -> tuple[type[MU], tuple[dict[str, Any]]]:
        return MU, (self.dictionary,)

    @property
    def dictionary(self) -> dict[str, Any]:
        """Plain dicts and lists, copied all the way down."""
        return {key: _unwrap(value) for key, value in dict.items(self)}

    @property
    def yaml_format(self) -> str:
        """YAML text, keys sorted."""
        return yamltext.dump(self.dictionary)

    @property
    def json_format(self) -> str:
        """JSON text."""
        return jsontext.encode(self)

    @property
    def b64(self) -> str:
        """Base64 of the YAML text."""
        return base64.b64encode(self.yaml_format.encode()).decode("ascii")


def wrap(value: Any) -> Any:
    """The value with every plain mapping in it as MU."""
    if type(value) is dict:
        return MU(value)
    if type(value) is list:
        return [wrap(element) for element in value]
    if isinstance(value, dict) and not isinstance(value, MU):  # an OrderedDict, a defaultdict
        return MU(value)
    return value


def _unwrap(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unwrap(element) for key, element in dict.items(value)}
    if isinstance(value, list | tuple):
        return [_unwrap(element) for element in value]
    return value
