"""Commands that `torchrun` runs in several processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from . import console


@contextlib.contextmanager
def together() -> Iterator[Any]:
    """Join the processes of `torchrun`, if there are any; only the first one prints."""
    from ...learning.processes import joined

    with joined() as processes:
        console.silent = not processes.first
        yield processes
