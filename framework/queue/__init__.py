"""FIFO: durable queues, their blocks, and how items in work end."""
