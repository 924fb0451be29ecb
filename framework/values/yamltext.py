"""YAML text of plain data, as the platform prints it: block style, keys sorted, Unicode as it is."""

from __future__ import annotations

from typing import Any

import yaml

# The C emitter is ten times as fast. An installation without libyaml has the other one.
_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Base):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        """An object that occurs twice is written twice, because an anchor means nothing to a reader."""
        return True


_Dumper.add_multi_representer(dict, lambda dumper, data: dumper.represent_dict(dict.items(data)))


def dump(value: object) -> str:
    """YAML text that ends with a newline."""
    return str(yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=1000))
