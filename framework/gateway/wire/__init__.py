"""The connections of clients: heads, bodies and answers, bounded in size and time."""
