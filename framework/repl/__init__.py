"""``framework repl``: Python at a prompt, with the names that scripts see, beside a running server.

The modules, from the outside in: ``session`` opens and closes everything. ``server`` joins or starts the server.
``console`` reads and runs inputs, with ``statement`` and ``execution``. ``terminal`` and ``screen`` are the user's
terminal, and ``keyboard`` chooses between the prompts of ``editor`` and ``plain``. The other modules are objects in
the namespace.
"""
