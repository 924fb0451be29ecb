"""The parts of the core whose mutants the suite must kill, and the tests that must do it.

The tests of a part run in one process with the mutated module, so a test that starts a server of its own does
not count. A mutant that no listed test reaches counts as alive.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Some modules that keep one promise, and the tests of that promise."""

    name: str
    modules: tuple[str, ...]  # paths from the root; a folder stands for all modules in it
    tests: tuple[str, ...]


PARTS = (
    Part(
        "queue",
        (
            "framework/fifo.py",
            "framework/block.py",
            "framework/items.py",
            "framework/policies.py",
            "framework/storage/sqlite/fifos.py",
        ),
        (
            "tests/test_fifo.py",
            "tests/test_fifo_endings.py",
            "tests/test_fifo_policies.py",
            "tests/contract/test_queues.py",
            "tests/contract/test_dead_letters.py",
            "tests/contract/test_fifo_model.py",
            "tests/contract/test_deaths.py",
        ),
    ),
    Part(
        "settlements",
        ("framework/settlements.py",),
        ("tests/test_settlements.py", "tests/test_fifo.py", "tests/test_fifo_endings.py"),
    ),
    Part(
        "transactions",
        ("framework/transaction.py", "framework/session.py", "framework/storage/sqlite/transaction.py"),
        (
            "tests/test_transaction.py",
            "tests/test_session.py",
            "tests/test_model.py",
            "tests/test_atom.py",
            "tests/atom",
            "tests/contract/test_units.py",
        ),
    ),
    Part(
        "storage",
        (
            "framework/storage/operations.py",
            "framework/storage/batches.py",
            "framework/storage/sqlite/operations.py",
            "framework/storage/sqlite/batches.py",
        ),
        ("tests/contract",),
    ),
    Part(
        "conversion",
        ("framework/conversion.py",),
        ("tests/test_values.py", "tests/test_atom.py"),
    ),
    Part(
        "definitions",
        (
            "framework/definitions/rules.py",
            "framework/definitions/queues.py",
            "framework/definitions/values.py",
        ),
        ("tests/definitions",),
    ),
    Part(
        "head",
        ("framework/gateway/head.py",),
        ("tests/gateway/test_head.py", "tests/gateway/conformance/test_requests.py"),
    ),
    Part(
        "hops",
        ("framework/gateway/hops.py",),
        ("tests/gateway/conformance", "tests/gateway/test_targets.py"),
    ),
    Part(
        "authentication",
        ("framework/gateway/authentication.py", "framework/tokens.py", "framework/roles.py"),
        ("tests/gateway/test_authentication.py", "tests/test_tokens.py", "tests/test_roles.py"),
    ),
)
