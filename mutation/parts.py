"""The parts of the core whose mutants the suite must kill, and the tests that must do it.

The tests of a part run in one process with the mutated module, so a test that starts a server of its own does
not count. A mutant that no listed test reaches counts as alive.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Part:
    """Some modules that keep one promise, and the tests of that promise."""

    name: str
    modules: tuple[str, ...]  # paths from the root; a folder stands for all modules in it
    tests: tuple[str, ...]
    without: tuple[str, ...] = ()  # of those, the ones that take seconds and kill no more than the others

    @property
    def files(self) -> list[str]:
        """The modules' files, in order. A module that is not there (any more) is a ``FileNotFoundError``."""
        found: list[str] = []
        for module in self.modules:
            path = ROOT / module
            if not path.exists():
                raise FileNotFoundError(f"{self.name}: there is no {module}")
            files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
            found += [str(file.relative_to(ROOT)) for file in files]
        return found


# What the rules between definitions find; the other folders take too long for each mutant.
_FIXTURES = tuple(
    f"tests/definitions/test_fixtures.py::test_a_mistake_is_told_in_exactly_these_words[{folder}]"
    for folder in (
        "broken-file-and-its-class",
        "class-twice",
        "extends-cycle",
        "fifo-shared",
        "fifo-twice",
        "fifo-unread",
        "idempotency-target",
        "module-twice",
        "no-such-class",
        "no-such-module",
        "no-target",
        "path-twice",
        "reference",
        "role-twice",
        "target-loop",
        "unseen-name",
        "worker-twice",
    )
)

PARTS = (
    Part(
        "queue",
        (
            "framework/queue/fifo.py",
            "framework/queue/items.py",
            "framework/queue/outcome.py",
            "framework/queue/policies.py",
            "framework/transactions/block.py",
            "framework/transactions/polls.py",
            "framework/storage/decisions/fifos.py",
            "framework/storage/decisions/steering.py",
            "framework/storage/decisions/suspects.py",
        ),
        (
            "tests/queue/test_fifo.py",
            "tests/queue/test_fifo_endings.py",
            "tests/queue/test_fifo_policies.py",
            "tests/transactions/test_polls.py",
            "tests/queue/test_policies.py",
            "tests/contract/test_steering.py",
            "tests/contract/test_queues.py",
            "tests/contract/test_dead_letters.py",
            "tests/contract/test_suspects.py",
            "tests/storage/test_decisions.py",
            "tests/contract/sqlite/test_sqlite_clock.py",
            "tests/contract/test_solitude.py",
        ),
    ),
    Part(
        "settlements",
        ("framework/queue/settlements.py",),
        ("tests/queue/test_settlements.py", "tests/queue/test_fifo.py", "tests/queue/test_fifo_endings.py"),
    ),
    Part(
        "transactions",
        (
            "framework/transactions/connection.py",
            "framework/transactions/context.py",
            "framework/transactions/transaction.py",
            "framework/transactions/run.py",
            "framework/transactions/result.py",
            "framework/transactions/session.py",
            "framework/storage/sqlite/transaction.py",
        ),
        (
            "tests/transactions/test_transaction.py",
            "tests/transactions/test_session.py",
            "tests/atom/test_model.py",
            "tests/atom/test_atom.py",
            "tests/atom",
            "tests/contract/test_transactions.py",
            "tests/contract/sqlite/test_sqlite_transactions.py",
            "tests/contract/test_units.py",
        ),
        without=(
            "tests/atom/test_queries.py::test_any_number_of_rows_is_iterated_in_flat_memory",
            "tests/atom/test_queries.py::test_two_processes_that_save_different_fields_of_one_row_both_win",
            "tests/atom/test_atom.py::test_every_value_comes_back_as_it_went_in",
            "tests/atom/test_graphs.py::test_every_graph_comes_back_as_it_was_saved",
        ),
    ),
    Part(
        "storage",
        (
            "framework/storage/operations",
            "framework/storage/decisions/requests.py",
            "framework/storage/decisions/rows.py",
            "framework/storage/decisions/upkeep.py",
            "framework/storage/sqlite/threads.py",
            "framework/storage/sqlite/operations.py",
            "framework/storage/sqlite/batches.py",
        ),
        (
            "tests/contract/sqlite/test_sqlite_threads.py",
            "tests/contract/sqlite/test_sqlite_batches.py",
            "tests/contract/test_units.py",
            "tests/contract/test_rows.py",
            "tests/contract/test_references.py",
            "tests/contract/test_requests.py",
            "tests/contract/test_records.py",
        ),
    ),
    Part(
        "conversion",
        ("framework/atom/conversion.py",),
        ("tests/atom/test_conversion.py",),
    ),
    Part(
        "rules",
        ("framework/definitions/rules.py", "framework/definitions/queues.py"),
        (
            "tests/definitions/test_rules.py",
            "tests/definitions/test_names.py",
            *_FIXTURES,
            "tests/definitions/test_fixtures.py::test_what_only_looks_odd_passes_without_a_word",
        ),
    ),
    Part(
        "values",
        ("framework/definitions/values.py",),
        ("tests/definitions/test_values.py", "tests/definitions/test_fields.py"),
        without=("tests/definitions/test_fields.py::test_every_json_value_is_taken_as_it_is",),
    ),
    Part(
        "head",
        ("framework/gateway/wire/head.py", "framework/gateway/wire/framing.py"),
        ("tests/gateway/test_head.py", "tests/gateway/test_framing.py"),
    ),
    Part(
        "hops",
        ("framework/gateway/wire/hops.py", "framework/gateway/headers.py"),
        ("tests/gateway/test_hops.py", "tests/gateway/test_headers.py"),
    ),
    Part(
        "authentication",
        ("framework/gateway/authentication.py", "framework/access/tokens.py", "framework/access/roles.py"),
        ("tests/gateway/test_authentication.py", "tests/access/test_tokens.py", "tests/access/test_roles.py"),
    ),
    Part(
        "control",
        ("framework/serving/control.py",),
        ("tests/serving/test_control.py",),
    ),
)
