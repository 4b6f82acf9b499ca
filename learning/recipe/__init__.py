"""Recipes: their schema, how they are checked, and `--set` overrides."""

from .checking import check_recipe
from .overrides import override, parse_override
from .schema import Recipe, read_document

__all__ = ["Recipe", "check_recipe", "override", "parse_override", "read_document"]
