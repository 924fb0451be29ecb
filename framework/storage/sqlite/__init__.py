"""The SQLite engine: an embedded file on a local disk, that several processes may share.

The one rule: **one connection of each process writes**, and the processes take turns. ``engine`` is the storage
itself. Every other module is one part of how it keeps its promises.
"""
