"""FIFO: durable queues, and how items in work end."""
