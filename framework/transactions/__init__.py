"""The storage as scripts use it: sessions and transactions."""
