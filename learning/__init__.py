"""Recipes, losses and the training loop."""

from .loop import Observer, train
from .recipe.checking import check_recipe
from .recipe.overrides import override, parse_override
from .recipe.schema import Recipe, read_document
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
