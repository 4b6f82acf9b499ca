"""Recipes, losses and the training loop."""

from .checking import check_recipe
from .loop import Observer, train
from .overrides import override, parse_override
from .recipe import Recipe, read_document
from .training import Training, prepare

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
