"""Recipes, losses and the training loop."""

from typing import TYPE_CHECKING

from ..core.lazy import lazy_names

if TYPE_CHECKING:
    from .loop import train
    from .monitoring.log import Log
    from .observer import Observer, SilentObserver
    from .recipe import Recipe, check_recipe, override, parse_override, read_document
    from .training import Training, prepare

__all__ = [
    "Log",
    "Observer",
    "Recipe",
    "SilentObserver",
    "Training",
    "check_recipe",
    "override",
    "parse_override",
    "prepare",
    "read_document",
    "train",
]

# Recipes are read without the training loop.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Log": f"{__name__}.monitoring.log",
        "Observer": f"{__name__}.observer",
        "SilentObserver": f"{__name__}.observer",
        "train": f"{__name__}.loop",
        "Training": f"{__name__}.training",
        "prepare": f"{__name__}.training",
        **dict.fromkeys(
            ("Recipe", "check_recipe", "override", "parse_override", "read_document"),
            f"{__name__}.recipe",
        ),
    },
)
