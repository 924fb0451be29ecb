"""What people read about a running server: its log, the id of a request, the place of an error in the YAML."""
