"""Requests that go on to a target: its hosts, the connections to them, and what comes back."""
