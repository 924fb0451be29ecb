"""A pytest plugin: a mutated function takes several frames for each call, so recursion may go deeper than usual."""

import sys

sys.setrecursionlimit(6 * sys.getrecursionlimit())
