"""What is opened, bound and served: the runtime, its snapshots, its server and its housekeeping."""
