"""The gateway: from an HTTP request to the answer of a script."""
