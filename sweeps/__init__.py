"""Sweeps: a grid over recipe keys and seeds; each member is a run; results and comparisons."""

from .definition import Definition, read_definition
from .folder import SweepFolder, find_sweep
from .grid import Axis, parse_axis, parse_seeds

__all__ = [
    "Axis",
    "Definition",
    "SweepFolder",
    "find_sweep",
    "parse_axis",
    "parse_seeds",
    "read_definition",
]
