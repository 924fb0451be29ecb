"""The running framework: the runtime, its snapshots, its server and its housekeeping."""
