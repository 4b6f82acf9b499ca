"""Layers beside published implementations of the same mathematics.

They are no dependency of the project: install them in an environment of their own, with asnn. What
is not installed is left out, and said so.
"""
