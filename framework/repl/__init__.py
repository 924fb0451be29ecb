"""``framework repl``: Python at a prompt, with what scripts see, beside a running server.

The modules, from the outside in: ``session`` opens and closes all; ``server`` joins or starts the server;
``console`` converses, with ``statement`` and ``execution``; ``terminal``, ``editor`` and ``screen`` are the
terminal; the rest is what the user finds in the namespace.
"""
