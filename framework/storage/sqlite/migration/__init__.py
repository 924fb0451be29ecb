"""Migration of the tables of a SQLite database to those of the definitions."""
