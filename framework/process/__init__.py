"""The server process: its event loop, signals, children and files."""
