"""Commands that `torchrun` runs in several processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from . import console

PARENT = os.getppid()  # when the program began: torchrun may end while torch is imported


@contextlib.contextmanager
def together() -> Iterator[Any]:
    """Join the processes of `torchrun`, if there are any; only the first one prints."""
    from ...learning.processes import joined

    with joined() as processes:
        console.silent = not processes.first
        yield processes


def is_orphan() -> bool:
    """Return whether the `torchrun` that started this process has ended without stopping it."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.getppid() != PARENT
