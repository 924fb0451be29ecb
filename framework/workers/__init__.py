"""The reflector, which runs the workers."""
