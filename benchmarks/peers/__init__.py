"""What the framework is measured against. Each module is a server of its own, started by `servers`."""
