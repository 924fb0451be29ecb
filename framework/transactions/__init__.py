"""The storage as scripts use it: what a script runs in, its blocks, its session and its transactions."""
