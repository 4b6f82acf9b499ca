"""Recipes, losses and the training loop."""

from .checking import check_recipe
from .loop import Observer, Training, prepare, train
from .overrides import override, parse_override
from .recipe import Recipe, read_document

__all__ = [
    "Observer",
    "Recipe",
    "Training",
    "check_recipe",
    "override",
    "parse_override",
    "prepare",
    "read_document",
    "train",
]
