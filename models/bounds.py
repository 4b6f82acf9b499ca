"""A limit on the modules of a network: a line of a recipe can ask for millions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from ..core.errors import ConfigError

MAX_MODULES = 50_000  # an MS-ResNet-104 with a norm for each of 100 steps has 11,400


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Refuse to build a network of more than `MAX_MODULES` modules within this context.

    Raises:
        ConfigError: it has more.
    """
    modules = 0

    def count(module: nn.Module, name: str, child: nn.Module) -> None:
        nonlocal modules
        modules += 1
        if modules > MAX_MODULES:
            raise ConfigError(
                f"the network has more than {MAX_MODULES:,} modules",
                why="layers, and with norm 'per-step' a norm for each step of each layer",
                remedy="use fewer steps or layers, or norm 'folded'",
            )

    hook = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
