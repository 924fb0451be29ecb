"""What ``framework doctor`` says of a SQLite database."""
