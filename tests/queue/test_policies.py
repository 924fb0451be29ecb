"""The policy of a FIFO: where it comes from, and that a recorded one is the one that was defined."""

from __future__ import annotations

import json
from dataclasses import replace

from framework.definitions import Backoff, FifoPolicy, Location
from framework.definitions.schema import schema_of
from framework.queue.policies import Policies, from_json, to_json

HERE = Location("q.yaml", 3, 1)
MINE = FifoPolicy(
    "q",
    HERE,
    max_attempts=7,
    max_crashes=2,
    backoff=Backoff(0.5, 3.0, 90.0),
    on_exhausted="hold",
    timeout=4.0,
    slow_after=5.0,
    max_length=6,
    max_item_bytes=7,
    key_window=8.0,
)


def test_a_fifo_without_a_policy_has_the_defaults() -> None:
    policy = Policies([MINE]).of("other")
    assert (policy.name, policy.max_attempts, policy.on_exhausted) == ("other", 5, "dead_letter")
    assert Policies([MINE]).of("q") == MINE


def test_a_recorded_policy_is_the_one_that_was_defined() -> None:
    nowhere = Policies().of("q").location
    assert from_json("q", to_json(MINE)) == replace(MINE, location=nowhere)
    assert from_json("q", to_json(FifoPolicy("q", HERE))) == Policies().of("q")
    assert from_json("q", None) == Policies().of("q")


def test_a_policy_of_another_version_is_read_as_far_as_it_is_known() -> None:
    newer = {**json.loads(to_json(MINE)), "max_sorrows": 3, "backoff": {"initial": 0.5, "jitter": 1}}
    assert from_json("q", json.dumps(newer)) == replace(
        MINE, location=Policies().of("q").location, backoff=Backoff(0.5)
    )
    assert from_json("q", '{"max_attempts": 7}').max_attempts == 7


def test_the_schema_says_the_keys_and_the_defaults_of_a_policy() -> None:
    said = schema_of("fifo")["properties"]
    policy = Policies().of("q")
    assert said.keys() >= {*json.loads(to_json(policy))}
    for key, value in json.loads(to_json(policy)).items():
        if isinstance(value, dict):
            assert {part: rule["default"] for part, rule in said[key]["properties"].items()} == value
        else:
            assert said[key].get("default") == value, key


def test_where_a_policy_is_defined_is_not_recorded() -> None:
    """Servers whose files differ in nothing else agree."""
    assert to_json(replace(MINE, location=Location("moved.yaml", 9, 9))) == to_json(MINE)
    assert to_json(replace(MINE, name="other")) == to_json(MINE)
    assert to_json(replace(MINE, max_attempts=8)) != to_json(MINE)


def test_policies_of_running_servers_hold_where_there_is_none_of_our_own() -> None:
    policies = Policies([MINE])
    theirs = {"q": replace(MINE, max_attempts=1), "r": replace(MINE, name="r", max_attempts=2)}
    policies.adopt(theirs)
    assert policies.of("q") == MINE
    assert policies.of("r") == theirs["r"]
    assert sorted(policy.name for policy in policies) == ["q", "r"]
