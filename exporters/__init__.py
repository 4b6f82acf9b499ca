"""Exports that prove that they compute the same."""
