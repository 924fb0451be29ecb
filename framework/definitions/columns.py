"""What a field asks of the database: a column or none, its type and length, an index, its former name.

The rule: the check refuses a column type that would not return every value of the field unchanged, and says why.
Nobody finds it out with the first such value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .nodes import MapNode
from .problem import Report, listed, nearest, quoted
from .values import FieldError

_JSON = ("TEXT", "MEDIUMTEXT", "LONGTEXT", "CLOB", "JSON")

DBTYPES: Mapping[str, tuple[str, ...]] = {
    "string": ("TEXT", "MEDIUMTEXT", "LONGTEXT", "CLOB", "VARCHAR"),
    "integer": ("BIGINT", "INTEGER", "INT", "MEDIUMINT", "SMALLINT", "TINYINT"),
    "number": ("DOUBLE", "DOUBLE PRECISION", "FLOAT"),
    "boolean": ("BOOLEAN", "BOOL"),
    "DateTime": ("DATETIME", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE", "TEXT"),
    "object": _JSON,
    "array": _JSON,
    "MU": _JSON,
    "array<MU>": _JSON,
}
"""The columns' types that give every value of a field back as it was, for each type of field."""

_ALTERS: Mapping[str, str] = {
    "CHAR": "it fills a text up with spaces",
    "CHARACTER": "it fills a text up with spaces",
    "NCHAR": "it fills a text up with spaces",
    "TINYTEXT": "it holds 255 bytes; say `field_length` instead",
    "NUMERIC": "it keeps 1.0 as 1",
    "DECIMAL": "it keeps 1.0 as 1",
    "REAL": "it has 4 bytes in some databases, and a number needs 8",
    "DATE": "it keeps the day alone",
    "TIME": "it forgets the day",
    "JSONB": "it sorts the keys anew",
    "BLOB": "it keeps bytes",
}

BITS: Mapping[str, int] = {"INTEGER": 32, "INT": 32, "MEDIUMINT": 24, "SMALLINT": 16, "TINYINT": 8}
"""The types of whole numbers that hold fewer than 64 bits: a field of such a type takes no larger number."""

_DBTYPE = re.compile(r"([A-Z][A-Z0-9_ ]*?) ?(?:\( ?([0-9]{1,9})(?: ?, ?[0-9]{1,9})? ?\))?")

_OF_JSON = frozenset(("object", "array", "MU", "array<MU>"))
_OF_CLASSES = frozenset(("reference", "array<reference>"))


@dataclass(frozen=True, slots=True)
class ColumnKeys:
    """What the keys of a field say about its column, as far as they could be read."""

    persistent: bool
    unique: bool
    dbtype: str | None
    length: int | None
    metadata: Mapping[str, object]
    renamed_from: str | None


@dataclass(slots=True)
class ColumnReader:
    """Reads what one field says about its column, and reports what is wrong with it."""

    node: MapNode
    name: str
    base: str
    report: Report

    def read(self, metadata: Mapping[str, object], *, identifier: bool, stored: bool) -> ColumnKeys:
        """The keys of the column. `stored` says whether the class has a table at all."""
        node = self.node
        persistent = node.flag("field_persistence", True)
        length = self._length()
        dbtype, written_length = self._dbtype(length)
        unique = node.flag("field_unique", False)
        self._index(metadata)
        if unique and self.base in _OF_JSON:
            message = f"{quoted(self.name)} cannot be unique: two texts of equal JSON can differ"
            self._error(
                "field_unique", "field-unique", message, "keep what must be unique in a field of its own"
            )
        if not persistent and stored:
            self._unstored(unique or metadata.get("index") is True, identifier)
        return ColumnKeys(
            persistent=persistent,
            unique=unique and self.base not in _OF_JSON,
            dbtype=dbtype,
            length=length or written_length,
            metadata=metadata,
            renamed_from=node.text("renamed_from"),
        )

    def _length(self) -> int | None:
        length = self.node.integer("field_length")
        if length is not None and self.base != "string" and self.base not in _OF_CLASSES:
            message = (
                f"{quoted(self.name)} is not a string, and `field_length` limits the characters of a string"
            )
            self.report.warning(
                self.node.value_location("field_length"),
                "field-length",
                message,
                hint="remove it: it has no effect",
            )
            return None
        return length

    def _dbtype(self, length: int | None) -> tuple[str | None, int | None]:
        """The column's type without its length, and the length that stands in it."""
        written = self.node.text("field_dbtype")
        allowed = DBTYPES.get(self.base)
        if written is None or allowed is None:  # a reference has the type of the field that it refers to
            return None, None
        found = _DBTYPE.fullmatch(" ".join(written.upper().split()))
        type_ = found[1] if found else written
        if found is None or type_ not in allowed:
            self._refused(written, type_, allowed)
            return None, None
        inside = int(found[2]) if found[2] else None
        if inside is not None and type_ != "VARCHAR":
            message = f"{quoted(written)}: the type {type_} has no length"
            self._error("field_dbtype", "field-dbtype", message, f"write {type_}")
        elif inside == 0 or (inside and length and inside != length):
            message = f"{quoted(written)} and `field_length: {length}` say two lengths of {quoted(self.name)}"
            if inside == 0:
                message = f"{quoted(written)}: a length is at least 1"
            self._error("field_dbtype", "field-dbtype", message)
        elif type_ == "VARCHAR" and not (inside or length):
            message = f"the type VARCHAR of {quoted(self.name)} needs a length"
            self._error("field_dbtype", "field-dbtype", message, "say `field_length`, or write TEXT")
        return type_, inside

    def _refused(self, written: str, type_: str, allowed: tuple[str, ...]) -> None:
        reason = _ALTERS.get(type_)
        if reason is not None:
            message = f"a column of the type {quoted(written)} does not give the values of {quoted(self.name)} back: "
            message += reason
        else:
            message = f"{quoted(written)} is not a column type for a field of type {self.base}"
        near = nearest(type_, allowed) if reason is None else None
        hint = f"did you mean `{near}`?" if near else f"write {listed(allowed)}, or nothing"
        self._error("field_dbtype", "field-dbtype", message, hint)

    def _index(self, metadata: Mapping[str, object]) -> None:
        asked = metadata.get("index")
        if asked is None or asked is False:
            return
        if asked is not True:
            message = (
                f"`index` in the metadata of {quoted(self.name)} must be true or false, not {quoted(asked)}"
            )
            self._error("field_metadata", "field-metadata", message)
        elif self.base in _OF_JSON:
            message = f"{quoted(self.name)} cannot have an index: nothing is looked for by JSON"
            hint = "keep a value to filter by in a field of its own"
            self._error("field_metadata", "field-metadata", message, hint)

    def _unstored(self, indexed: bool, identifier: bool) -> None:
        node = self.node
        reason = None
        if identifier:
            reason = "it tells the rows apart"
        elif indexed:
            reason = "only a stored field can be unique or have an index"
        elif not node.flag("field_nullable", True) and node.get("field_default") is None:
            reason = "it is not nullable and has no default: a loaded instance would have no value"
        if reason is not None:
            message = f"{quoted(self.name)} cannot be without a column: {reason}"
            self._error("field_persistence", "field-persistence", message)

    def _error(self, key: str, code: str, message: str, hint: str | None = None) -> None:
        self.report.error(self.node.value_location(key), code, message, hint=hint)


def length_check(length: int) -> Callable[[object], None]:
    """A check that a text has at most so many characters."""

    def check(value: object) -> None:
        if len(value) > length:  # type: ignore[arg-type]
            message = f"must have at most {length} character{'s' * (length > 1)}, not {len(value)}"  # type: ignore[arg-type]
            raise FieldError("length", message)

    return check


def bits_check(dbtype: str) -> Callable[[object], None] | None:
    """A check that an integer fits a column of this type, or None if every 64-bit integer does."""
    bits = BITS.get(dbtype)
    if bits is None:
        return None
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def check(value: object) -> None:
        if not low <= value <= high:  # type: ignore[operator]
            raise FieldError(
                "range", f"must be a whole number of at most {bits} bits, for its column is {dbtype}"
            )

    return check
