"""Shell completion of values: names, runs and recipes, without importing torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from glob import escape, glob
from pathlib import Path

import typer

from ..recipe_files import recipe_names as builtin_recipes

# The registries have these names too, but importing them imports torch, which takes seconds.
CODES = ("direct", "impulse", "temporal", "hybrid", "embedding", "hybrid-embedding", "rate")
CODES += ("latency", "bins", "ttfs", "delta", "phase", "burst")
CODES += ("frames", "voxel", "time-surface", "given", "times")
DATASETS = ("digits", "mnist", "fashion-mnist", "kmnist", "cifar10", "cifar100", "svhn")
DATASETS += ("folder", "npz", "nmnist", "shd", "events-folder", "events-npz")
DATASETS += ("flow-nmnist", "flow-simulated", "flow-events")
DATASETS += ("series-npz", "wav-folder", "qtdb", "yin-yang", "noise-task")
DATASETS += ("scatter", "scatter-events", "coco", "voc", "lorenz", "none")
DATA_FILES = (".zip", ".npz", ".npy", ".csv", ".tsv", ".parquet")
SPLITS = ("test", "validation", "train")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("float32", "bfloat16", "float16")
SEMANTICS = ("nir", "snntorch", "snntorch-zero", "spikingjelly", "norse", "sinabs", "rockpool")
CORRUPTIONS = ("gaussian-noise", "salt-and-pepper", "blur", "contrast")
CORRUPTIONS += ("event-drop", "event-noise", "hot-pixels", "event-jitter", "event-shuffle")
CORRUPTIONS += ("polarity-drop",)
CORRUPTIONS += ("series-noise", "series-drop", "series-shuffle")
CORRUPTIONS += ("spike-drop", "spike-jitter", "time-drop", "time-jitter", "time-shuffle")
CORRUPTIONS += ("quantize", "dead-neurons")
TRANSFORMS = ("rot90", "flip", "shift")
ENERGY_TABLES = Path(__file__).parents[2] / "measure" / "cost" / "energy_tables"
BENCH_MODELS = ("lenet", "lenet-16-32", "mlp", "ms-resnet18", "ms-resnet18-16", "spikformer")
BENCH_MODELS += ("spiking-yolo",)

Completion = Callable[[str], list[str]]


def one_of(*names: str) -> Completion:
    """Return a completion of one of the given names."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def list_of(complete_one: Completion) -> Completion:
    """Return a completion of the last name of a list with commas."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in complete_one(last)]

    return complete


def codes(incomplete: str) -> list[str]:
    """Complete the name of a code, including those of installed packages."""
    return one_of(*_with_plugins("codings", CODES))(incomplete)


def datasets(incomplete: str) -> list[str]:
    """Complete the name of a data set, including those of installed packages."""
    return one_of(*_with_plugins("datasets", DATASETS))(incomplete)


def corruptions(incomplete: str) -> list[str]:
    """Complete the name of a corruption, including those of installed packages, or `all`."""
    return one_of(*_with_plugins("corruptions", CORRUPTIONS), "all")(incomplete)


def _with_plugins(kind: str, builtin: tuple[str, ...]) -> list[str]:
    from ...core.registry import Registry

    return Registry(kind, dict.fromkeys(builtin, "")).names()


def recipe_names(incomplete: str) -> list[str]:
    """Complete the name of a built-in recipe."""
    return one_of(*builtin_recipes())(incomplete)


def recipes(incomplete: str) -> list[str]:
    """Complete the name of a built-in recipe, or the path of a TOML file."""
    return recipe_names(incomplete) + _toml_files(incomplete)


def energy_tables(incomplete: str) -> list[str]:
    """Complete the name of an energy table that comes with asnn, or the path of a TOML file."""
    names = sorted(path.stem for path in ENERGY_TABLES.glob("*.toml"))
    return one_of(*names)(incomplete) + _toml_files(incomplete)


def runs(incomplete: str) -> list[str]:
    """Complete the folder of a run: in `runs/`, or below the folder typed so far."""
    return _folders(incomplete, "config.toml")


def runs_and_paths(incomplete: str) -> list[str]:
    """Complete the folder of a run, or the path of a file or a folder, once a letter is typed."""
    paths = sorted(glob(f"{escape(incomplete)}*")) if incomplete else []
    found = [f"{path}/" if os.path.isdir(path) else path for path in paths]
    return [each for each in runs(incomplete) if f"{each}/" not in found] + found


def sweeps(incomplete: str) -> list[str]:
    """Complete the folder of a sweep, found in the same way as a run."""
    return _folders(incomplete, "sweep.toml")


def recipes_or(
    resumed: Completion, *, data: bool = False
) -> Callable[[typer.Context, str], list[str]]:
    """Return a completion of a recipe (or a path of data), or after `--resume` of a run."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        if ctx.params.get("resume"):
            return resumed(incomplete)
        return recipes(incomplete) + (_data_paths(incomplete) if data else [])

    return complete


def data_or_datasets(incomplete: str) -> list[str]:
    """Complete the name of a data set, or the path of data."""
    return datasets(incomplete) + _data_paths(incomplete)


def _data_paths(incomplete: str) -> list[str]:
    """Return folders, and files whose suffix is that of data, once a letter is typed."""
    if not incomplete:
        return []
    found = sorted(glob(f"{escape(incomplete)}*"))
    return [f"{path}/" for path in found if os.path.isdir(path)] + [
        path for path in found if path.lower().endswith(DATA_FILES)
    ]


def _toml_files(incomplete: str) -> list[str]:
    return sorted(glob(f"{escape(incomplete)}*.toml"))


def _folders(incomplete: str, file: str) -> list[str]:
    """Return the folders that contain a file and whose path begins with `incomplete`."""
    from ...records.layout import RUNS

    prefix = incomplete if "/" in incomplete else f"{RUNS}/"
    found = glob(f"{escape(prefix)}*/{file}")
    return sorted(path for path in map(os.path.dirname, found) if path.startswith(incomplete))
