"""The connections of clients: heads, bodies and answers, limited in size and time."""
