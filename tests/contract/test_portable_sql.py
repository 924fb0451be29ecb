"""What SQLAlchemy makes of the framework's tables is SQL for other databases too: asked of dialects, no server runs."""

from __future__ import annotations

import pytest
from sqlalchemy import Dialect, Table
from sqlalchemy.dialects.postgresql import asyncpg, psycopg
from sqlalchemy.schema import CreateTable

from framework.storage import tables
from framework.storage.codec import Codec

DIALECTS: list[type[Dialect]] = [asyncpg.dialect, psycopg.dialect]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.driver)
@pytest.mark.parametrize("table", tables.metadata.sorted_tables, ids=lambda table: table.name)
def test_every_statement_of_a_table_can_be_made(dialect: type[Dialect], table: Table) -> None:
    codec = Codec(dialect())
    key = next(iter(table.primary_key)).name
    names = tuple(column.name for column in table.columns)
    assert codec.by_key(table, key).names == names
    for statement in (
        codec.insert(table, names),
        codec.update(table, key, names, names),
        codec.delete(table, key, names),
        codec.first(table, key, key),
        codec.matching(table, key, 3),
    ):
        assert table.name in statement.sql


@pytest.mark.parametrize("table", tables.metadata.sorted_tables, ids=lambda table: table.name)
def test_a_default_is_a_value_of_its_column(table: Table) -> None:
    """A quoted number is a literal of any type; a bare one is no boolean."""
    made = str(CreateTable(table).compile(dialect=asyncpg.dialect()))
    assert "BOOLEAN DEFAULT 0" not in made
    assert "BOOLEAN DEFAULT 1" not in made
