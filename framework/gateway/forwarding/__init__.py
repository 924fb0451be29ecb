"""Forwarding to targets: their hosts, the connections to them, and the responses."""
