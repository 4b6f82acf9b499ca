"""Commands that several processes carry out together, as `torchrun` starts them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from . import console


@contextlib.contextmanager
def together() -> Iterator[Any]:
    """Join the processes of `torchrun`, if there are any; only the first one speaks."""
    from ...learning.processes import joined

    with joined() as processes:
        console.silent = not processes.first
        yield processes
