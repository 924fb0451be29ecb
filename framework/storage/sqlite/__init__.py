"""The SQLite engine: an embedded file on a local disk, that several processes may share.

The one rule: **one connection of a process writes**, and the processes take turns at it. ``engine`` is the
storage itself; every other module is one part of how it keeps its promises.
"""
