"""SQL text and value conversions of a table. SQLAlchemy makes them once, and the driver runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Dialect,
    Double,
    Executable,
    Select,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

Convert = Callable[[Any], Any] | None


class Statement:
    """One SQL text with the names and converters of its parameters, in order."""

    __slots__ = ("parameters", "sql")

    def __init__(self, sql: str, parameters: Sequence[tuple[str, Convert]]) -> None:
        self.sql = sql
        self.parameters = tuple(parameters)

    def bind(self, values: Mapping[str, Any]) -> list[Any]:
        """The driver's parameters for these values. A constant of the statement has no name."""
        return [
            convert(values[name] if name else None) if convert else values[name]
            for name, convert in self.parameters
        ]


class Query(Statement):
    """A statement with rows: ``row`` makes a mapping of what the driver fetched."""

    __slots__ = ("_converters", "names")

    def __init__(
        self, sql: str, parameters: Sequence[tuple[str, Convert]], columns: Iterable[tuple[str, Convert]]
    ) -> None:
        super().__init__(sql, parameters)
        listed = tuple(columns)
        self.names = tuple(name for name, _ in listed)
        self._converters = tuple(
            (position, name, convert) for position, (name, convert) in enumerate(listed) if convert
        )

    def values(self, fetched: Sequence[Any]) -> tuple[Any, ...]:
        """The converted values alone, for a statement whose column names may repeat."""
        values = list(fetched)
        for position, _, convert in self._converters:
            values[position] = convert(fetched[position])
        return tuple(values)

    def row(self, fetched: Sequence[Any]) -> dict[str, Any]:
        row = dict(zip(self.names, fetched, strict=True))
        for position, name, convert in self._converters:
            row[name] = convert(fetched[position])
        return row


class Codec:
    """Compiles and remembers the statements of one engine's dialect. Safe from any thread."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.insert = lru_cache(1024)(self._insert)
        self.update = lru_cache(4096)(self._update)
        self.delete = lru_cache(1024)(self._delete)
        self.by_key = lru_cache(1024)(self._by_key)
        self.matching = lru_cache(1024)(self._matching)
        self.first = lru_cache(1024)(self._first)
        self.query = lru_cache(512)(self._query)

    def _insert(self, table: Table, columns: tuple[str, ...]) -> Statement:
        return self._compile(insert(table).values({name: bindparam(name) for name in columns}))

    def _update(
        self, table: Table, key_column: str, columns: tuple[str, ...], expected: tuple[str, ...] = ()
    ) -> Statement:
        values = {name: bindparam(f"v_{name}", type_=table.c[name].type) for name in columns}
        return self._compile(update(table).where(*_row(table, key_column, expected)).values(values))

    def _delete(self, table: Table, key_column: str, expected: tuple[str, ...] = ()) -> Statement:
        return self._compile(delete(table).where(*_row(table, key_column, expected)))

    def _by_key(self, table: Table, key_column: str) -> Query:
        return self._query(select(table).where(table.c[key_column] == _key(table, key_column)))

    def _matching(self, table: Table, column: str, count: int) -> Query:
        """Rows of which the column has one of ``count`` values, in the form that ``stored`` gives them."""
        values = bindparam("values", [None] * count, type_=table.c[column].type, expanding=True)
        return self._query(select(table).where(table.c[column].in_(values)))

    def stored(self, table: Table, column: str, values: Sequence[Any]) -> Sequence[Any]:
        """The values of a column as the driver takes them."""
        convert = self._in(table.c[column].type)
        return values if convert is None else [convert(value) for value in values]

    def _first(self, table: Table, wanted: str, column: str) -> Query:
        """One column of some row that has the value ``key`` in another column."""
        return self._query(select(table.c[wanted]).where(table.c[column] == _key(table, column)).limit(1))

    def _query(self, statement: Select[Any]) -> Query:
        compiled = self._compile(statement)
        columns = [(column.key or "", self._out(column)) for column in statement.selected_columns]
        return Query(compiled.sql, compiled.parameters, columns)

    def executable(self, statement: Executable) -> Query:
        """Any statement, compiled for this one use, because its parts are not known beforehand."""
        compiled = self._compile(statement)
        columns = getattr(statement, "selected_columns", None)
        if columns is None:
            columns = getattr(statement, "returning_column_descriptions", None) and statement.exported_columns  # type: ignore[attr-defined]
        return Query(compiled.sql, compiled.parameters, [(c.key or "", self._out(c)) for c in columns or ()])

    def _compile(self, statement: Any) -> Statement:
        compiled = statement.compile(dialect=self._dialect, compile_kwargs={"render_postcompile": True})
        fixed = compiled.construct_params(_check=False)
        parameters: list[tuple[str, Convert]] = []
        for name in compiled.positiontup or ():
            bind = compiled.binds.get(name)
            convert = None if bind is None else self._in(bind.type)
            if bind is not None and bind.required:
                parameters.append((name, convert))
            else:
                parameters.append(("", _constant(fixed[name], convert)))
        return Statement(compiled.string, parameters)

    def _in(self, type_: Any) -> Convert:
        return type_.dialect_impl(self._dialect).bind_processor(self._dialect)  # type: ignore[no-any-return]

    def _out(self, column: ColumnElement[Any]) -> Convert:
        type_: Any = column.type
        if isinstance(type_, Double):
            return None  # drivers return floats; SQLAlchemy would first ask for the driver's type code
        return type_.dialect_impl(self._dialect).result_processor(self._dialect, None)  # type: ignore[no-any-return]


def _key(table: Table, key_column: str) -> Any:
    return bindparam("key", type_=table.c[key_column].type, required=True)


def _row(table: Table, key_column: str, expected: tuple[str, ...]) -> Iterator[ColumnElement[bool]]:
    """The conditions for the row with a key and the expected values. Null equals null."""
    yield table.c[key_column] == _key(table, key_column)
    for name in expected:
        column = table.c[name]
        yield column.is_not_distinct_from(bindparam(f"e_{name}", type_=column.type, required=True))


def _constant(value: Any, convert: Convert) -> Convert:
    """A converter that ignores its argument, because the value is part of the statement."""
    converted = value if convert is None else convert(value)
    return lambda _: converted
