"""Whatever refers to whatever comes back as it was saved, in circles too."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framework.atom import Atom
from framework.atom.classes import Atoms

pytestmark = pytest.mark.anyio

MOST = 8


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[int | None, list[int]]]:
    """For each node: the next one or none, and its links, repetitions included."""
    size = draw(st.integers(1, MOST))
    node = st.integers(0, size - 1)
    return draw(
        st.lists(st.tuples(st.none() | node, st.lists(node, max_size=4)), min_size=size, max_size=size)
    )


async def clear(atom: Atoms) -> None:
    """Away with all nodes: first with what they refer to, else they could not be destroyed."""
    async for node in atom.Node.iterate(shallow=True):
        await node.save(next=None, links=[])
    for node in await atom.Node.retrieve():
        await node.destroy()


def connect(nodes: list[Any], graph: list[tuple[int | None, list[int]]]) -> None:
    for node, (following, links) in zip(nodes, graph, strict=True):
        node.next = None if following is None else nodes[following]
        node.links = [nodes[number] for number in links]


def reached(start: Any) -> dict[int, Any]:
    """All nodes that one leads to, by their numbers; of each number there is one instance."""
    found: dict[int, Any] = {}
    waiting = [start]
    while waiting:
        node = waiting.pop()
        assert isinstance(node, Atom), "nothing stays a key"
        if node.number in found:
            assert found[node.number] is node
            continue
        found[node.number] = node
        waiting += [*node.links, *([] if node.next is None else [node.next])]
    return found


def shape(start: Any) -> dict[int, Any]:
    return {
        number: (node.value, None if node.next is None else node.next.number, [n.number for n in node.links])
        for number, node in reached(start).items()
    }


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=graphs(), after=graphs())
async def test_every_graph_comes_back_as_it_was_saved(
    atom: Atoms, before: list[tuple[int | None, list[int]]], after: list[tuple[int | None, list[int]]]
) -> None:
    await clear(atom)
    nodes = [atom.Node(number=number, value=number * 10) for number in range(len(before))]
    connect(nodes, before)
    for node in nodes:
        await node.save()
    for node in nodes:
        loaded = await atom.Node.load(node.number)
        assert shape(loaded) == shape(node)
        assert loaded.dictionary == node.dictionary
    # Loaded as one, changed, and saved from one node: as far as it leads, everything is as it was made.
    everything = await atom.Node.retrieve(order_by=["number"])
    nodes = [*everything, *(atom.Node(number=n, value=n) for n in range(len(before), len(after)))]
    nodes = nodes[: len(after)]
    connect(nodes, after)
    await nodes[0].save()
    again = await atom.Node.load(0)
    assert shape(again) == shape(nodes[0])
    for loaded in await atom.Node.retrieve(shallow=True):
        if loaded.number in reached(nodes[0]):
            kept = reached(nodes[0])[loaded.number]
            assert loaded.links == [node.number for node in kept.links]
