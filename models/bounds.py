"""A limit of how many parts a network may have: a line of a recipe can ask for millions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from ..core.errors import ConfigError

MOST_PARTS = 50_000  # an MS-ResNet-104 with norms of its own for each of 100 steps has 11,400


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Refuse to build a network of more than `MOST_PARTS` modules within this context.

    Raises:
        ConfigError: it has more.
    """
    parts = 0

    def count(module: nn.Module, name: str, part: nn.Module) -> None:
        nonlocal parts
        parts += 1
        if parts > MOST_PARTS:
            raise ConfigError(
                f"the network has more than {MOST_PARTS:,} parts",
                why="layers, and with norm 'per-step' a norm for each step of each of them",
                remedy="use fewer steps or layers, or norm 'folded'",
            )

    hook = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
