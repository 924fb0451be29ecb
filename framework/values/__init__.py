"""Values as texts and back: JSON, YAML, MU, lengths of time and time-based ids."""
