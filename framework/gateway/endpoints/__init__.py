"""The generated endpoints of a class with ``api_generation``."""
