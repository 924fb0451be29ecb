"""Conversion of values to text and back: JSON, YAML, MU, durations and time-based ids."""
