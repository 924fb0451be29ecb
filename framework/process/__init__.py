"""The process that a server is: its event loop, its signals, its children and its files."""
