"""The gateway: from an HTTP request to a script's answer."""
