"""Readers for files of unknown origin: bounded in time and memory, and no code is run."""
