"""The definition of a sweep from the options of `asnn sweep`."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import ConfigError
from ..learning.recipe import parse_override, read_document
from .definition import Definition
from .grid import Axis, parse_seeds
from .ranges import Range

DEFAULT_TRIALS = 20


def define(
    recipe: str,
    file: Path,
    *,
    changes: list[str],
    data_dir: Path | None,
    seeds: str | None,
    axes: tuple[Axis, ...],
    ranges: tuple[Range, ...],
    trials: int | None,
    split: str | None,
    skip_impossible: bool,
) -> Definition:
    """Return the definition of a sweep.

    Args:
        recipe: the name of the recipe, or its path, as the user wrote it.
        file: of the recipe.
        changes: of `--set`, as `KEY=VALUE`.
        data_dir: folder of the data set's files.
        seeds: of `--seeds`; None for the seed of the recipe.
        axes: of `--grid`.
        ranges: of `--search`.
        trials: of a search.
        split: on which members are evaluated.
        skip_impossible: leave out combinations that cannot be trained.

    Raises:
        ConfigError: options do not go together, or the recipe cannot be read.
    """
    if ranges and (axes or skip_impossible):
        raise ConfigError("--search goes with neither --grid nor --skip-impossible")
    if ranges and split not in (None, "validation"):
        raise ConfigError(
            f"--search does not use {split} data",
            why="data used to choose settings cannot measure the result",
            remedy="leave --split out, and evaluate the best trial with `asnn eval`",
        )
    if trials and not ranges:
        raise ConfigError("--trials goes with --search only")
    document = read_document(file)
    document.setdefault("name", Path(recipe).stem)
    overrides = {}
    for text in changes:
        parts, value = parse_override(text)
        overrides[".".join(parts)] = value
    if data_dir:
        overrides["data.dir"] = str(data_dir)
    if seeds is None:
        train = document.get("train")
        seed = train.get("seed", 0) if isinstance(train, dict) else 0
        all_seeds = (overrides.pop("train.seed", seed),)
    elif "train.seed" in overrides:
        raise ConfigError("train.seed is set beside --seeds", remedy="leave one of them out")
    else:
        all_seeds = tuple(parse_seeds(seeds))
    if ranges and len(all_seeds) > 1:
        raise ConfigError(
            "--search takes a single seed", remedy="try its best settings with --grid and --seeds"
        )
    return Definition(
        source=recipe,
        document=document,
        changes=tuple(overrides.items()),
        axes=axes,
        seeds=all_seeds,
        split="validation" if ranges else split or "test",
        skip_impossible=skip_impossible,
        ranges=ranges,
        trials=(trials or DEFAULT_TRIALS) if ranges else 0,
    )
