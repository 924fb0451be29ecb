"""Mutation tests of the core: does the suite notice when a condition, a value or a call is changed?"""
