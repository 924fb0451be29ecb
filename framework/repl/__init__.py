"""``framework repl``: Python at a prompt, with what scripts see, beside a running server.

The modules, from the outside in: ``session`` opens and closes all; ``server`` joins or starts the server;
``console`` converses, with ``statement`` and ``execution``; ``terminal`` and ``screen`` are where the user sits,
``keyboard`` chooses between the prompts of ``editor`` and ``plain``; the rest is what is found in the namespace.
"""
