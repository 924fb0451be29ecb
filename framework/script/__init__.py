"""What scripts see besides ATOM and FIFO: callout, cache, settings and the debug channel."""
