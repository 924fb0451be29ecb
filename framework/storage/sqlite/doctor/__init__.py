"""The findings of ``framework doctor`` about a SQLite database."""
