"""Libraries that may fail in any way on a file, each run in a child process under limits."""

from .parent import on_disk, read_in_child

__all__ = ["on_disk", "read_in_child"]
