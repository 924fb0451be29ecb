"""From the tables of a SQLite database to those of the definitions: what differs, and how it is changed."""
