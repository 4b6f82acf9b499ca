"""From the options of `asnn sweep` to the definition of a sweep."""

from __future__ import annotations

from pathlib import Path

from ....core.errors import ConfigError
from ....learning import parse_override, read_document
from ....sweeps.definition import Definition
from ....sweeps.grid import Axis, parse_seeds
from ....sweeps.ranges import Range
from ...recipe_files import recipe_file

USUAL_TRIALS = 20


def define(
    recipe: str,
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
    """Return what is to be swept.

    Raises:
        ConfigError: options that do not go together, or a recipe that does not exist.
    """
    if ranges and (axes or skip_impossible):
        raise ConfigError("--search goes with neither --grid nor --skip-impossible")
    if ranges and split not in (None, "validation"):
        raise ConfigError(
            f"--search does not look at {split} data",
            why="what is chosen by them cannot be judged by them any more",
            remedy="leave --split out, and evaluate the best trial with `asnn eval`",
        )
    if trials and not ranges:
        raise ConfigError("--trials goes with --search only")
    document = read_document(recipe_file(recipe))
    document.setdefault("name", Path(recipe).stem)
    wanted = {}
    for text in changes:
        parts, value = parse_override(text)
        wanted[".".join(parts)] = value
    if data_dir:
        wanted["data.dir"] = str(data_dir)
    train = document.get("train")
    own = train.get("seed", 0) if isinstance(train, dict) else 0
    own = wanted.pop("train.seed", own) if seeds is None else own
    if "train.seed" in wanted:
        raise ConfigError("train.seed is set beside --seeds", remedy="leave one of them out")
    chosen = tuple(parse_seeds(seeds)) if seeds is not None else (own,)
    if ranges and len(chosen) > 1:
        raise ConfigError(
            "--search takes a single seed", remedy="try its best settings with --grid and --seeds"
        )
    return Definition(
        source=recipe,
        document=document,
        changes=tuple(wanted.items()),
        axes=axes,
        seeds=chosen,
        split="validation" if ranges else split or "test",
        skip_impossible=skip_impossible,
        ranges=ranges,
        trials=(trials or USUAL_TRIALS) if ranges else 0,
    )
