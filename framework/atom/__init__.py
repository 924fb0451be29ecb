"""ATOM: persisted classes, generated from definitions.

    order = atom.OrderEntry(parameters={"name": "x"})
    await order.save()                              # inserts
    order = await atom.OrderEntry.load(order.orderId)
    await order.save(status="done")                 # writes the fields that differ from what was loaded

The one rule: **a value that a field does not accept is refused where it is given**, at construction, on assignment
and by ``save(**updates)``. Nothing is left half done.
"""

from framework.atom.instance import Atom
from framework.atom.memory import Memory
from framework.atom.references import connect
from framework.atom.values import did_you_mean

__all__ = ["Atom", "Memory", "connect", "did_you_mean"]
