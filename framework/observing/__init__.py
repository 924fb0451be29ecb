"""What people read about a running server: its log, request ids, and the locations of errors in the YAML."""
