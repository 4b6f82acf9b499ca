"""The functions of `import asnn`: train, import, evaluate, export and verify in one call each.

They take a run by its folder or opened, and choose what the commands choose by default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from asnn import exporters
from asnn.core.errors import ConfigError
from asnn.exporters import Exported, ExportSource, Samples, random_samples, source_of
from asnn.exporters.export import dt_of_file
from asnn.exporters.runs import samples_of_run, source_of_run
from asnn.learning import Recipe, check_recipe, override
from asnn.learning import train as fit
from asnn.learning.observer import SilentObserver
from asnn.measure import Evaluation
from asnn.models import SpikingNetwork
from asnn.models.timing.clocked import has_many_times
from asnn.records.create import create_run, require_empty
from asnn.records.open_run import OpenRun, open_run

SAMPLES = 256  # to verify an export with
NOISE_SAMPLES = 64  # where a network has no data

Source = OpenRun | SpikingNetwork | ExportSource | Path | str


def train(
    recipe: Recipe | Mapping[str, Any] | Path | str | None = None,
    *,
    out: Path | str | None = None,
    changes: Mapping[str, Any] | None = None,
    resume: Path | str | None = None,
    observer: Any = None,
    stop: Callable[[], bool] = lambda: False,
) -> OpenRun:
    """Train a recipe and return its run.

    Args:
        recipe: the name of a built-in recipe (`digits` by default), a TOML file, its tables, a
            checked recipe, or the path of data, for which a recipe is made.
        out: the folder of the run, empty or missing; `runs/<name>-<time>` by default.
        changes: keys with their values, such as `{"train.epochs": 10, "train.seed": 1}`.
        resume: the folder of an interrupted run, which is trained to its end; without `recipe`,
            `out` and `changes`.
        observer: called back as training goes on, see `asnn.learning.Observer`; by default nothing
            is shown.
        stop: called after each step; once it returns true, a checkpoint is saved and the run
            returned as it is: `run.files.finished` is then false.

    Raises:
        ConfigError: the recipe has faults, `out` is not empty, or the run to resume is finished.
        AsnnError: the data cannot be read, or the run cannot be written.

    >>> run = train("digits", changes={"train.epochs": 1})  # doctest: +SKIP
    """
    if resume is not None:
        if recipe is not None or out is not None or changes:
            raise ConfigError(
                "resume goes without recipe, out and changes",
                why="a run is resumed in its own folder, with its own configuration",
                remedy="leave them out, or train a new run without resume",
            )
        return _resume(resume, observer, stop)
    checked = _checked("digits" if recipe is None else recipe, changes or {})
    run = create_run(out, checked.name)
    fit(checked, run, observer or SilentObserver(), stop=stop)
    return open_run(run)


def import_nir(
    path: Path | str,
    *,
    out: Path | str | None = None,
    changes: Mapping[str, Any] | None = None,
    **options: Any,
) -> OpenRun:
    """Make a run of the network in a NIR file, and return it.

    Args:
        path: the file.
        out: the folder of the run, empty or missing; `runs/<name>-<time>` by default.
        changes: keys of its recipe with their values, such as `{"data.name": "digits"}`.
        options: `dt`, `steps`, `semantics` and `answer`, as `asnn import` takes them.

    Raises:
        ConfigError: `dt` or `steps` are not known, or another option is not possible.
        DataError: the file cannot be read, or holds no network.

    >>> run = import_nir("network.nir", steps=25, dt=1e-4)  # doctest: +SKIP
    """
    from asnn.records.import_nir import import_nir as read

    listed = [(key.split("."), value) for key, value in (changes or {}).items()]
    if out is not None:
        require_empty(Path(out))
    return open_run(read(path, changes=listed, **options).write(out))


def _resume(path: Path | str, observer: Any, stop: Callable[[], bool]) -> OpenRun:
    from asnn.learning.checkpoints.resume import former_document
    from asnn.records.layout import find_run

    run = find_run(path, unfinished=True)
    if run.finished:
        raise ConfigError(f"{run.path} is finished already", remedy=f"asnn.open_run({path!r})")
    document = former_document(run)
    document.setdefault("name", run.path.name)
    checked = check_recipe(document, source=f"the configuration {run.config}")
    fit(checked, run, observer or SilentObserver(), resume=True, stop=stop)
    return open_run(run)


def _checked(recipe: Recipe | Mapping[str, Any] | Path | str, changes: Mapping[str, Any]) -> Recipe:
    from asnn.cli.recipe_files import recipe_document

    if isinstance(recipe, Recipe):
        document, name = recipe.document(), recipe.name
    elif isinstance(recipe, Mapping):
        document, name = dict(recipe), str(recipe.get("name", "recipe"))
    else:
        document, _ = recipe_document(str(recipe), changes)
        name = document["name"]
    document.setdefault("name", name)
    changed, _ = override(document, [(key.split("."), value) for key, value in changes.items()])
    return check_recipe(changed, source=f"recipe {name}")


def evaluate(
    run: OpenRun | Path | str | None = None, split: str = "test", **options: Any
) -> Evaluation:
    """Return how the network of a run does on a split of its data.

    Args:
        run: opened, or its folder; the newest by default.
        split: `train`, `validation` or `test`.
        options: `steps`, `batch_size`, `device`, `count`, as `OpenRun.evaluate` takes them.

    Raises:
        AsnnError: the run or its data cannot be read, or an option is not possible.
    """
    return (run if isinstance(run, OpenRun) else open_run(run)).evaluate(split, **options)


def export_onnx(
    source: Source,
    path: Path | str,
    *,
    samples: Samples | int | None = SAMPLES,
    dt: float | None = None,
    **options: Any,
) -> Exported:
    """Write a network to ONNX and verify that the file computes the same.

    Args:
        source: a run, opened or by its folder; a network of `create_model`, or another
            `SpikingNetwork` with samples of your own; or an `ExportSource`, which
            `asnn.exporters.source_of_module` makes of a torch module with snnTorch neurons.
        path: a `.onnx` file, or a folder.
        samples: how many test samples of the run to verify with (random images where the source is
            no run), samples of your own, or None to write without verification.
        dt: of a network of many exact times, the step of the file; 1/100 of the window of its code
            by default.
        options: `form`, `input`, `opset`, `weights`, as `asnn.exporters.export_onnx` takes them.

    Raises:
        ConfigError: an option is not possible, or ONNX cannot express a layer exactly.
        VerificationError: the file computes something else; it is renamed `*.unverified`.
    """
    found, chosen = _resolve(source, samples, dt)
    return exporters.export_onnx(found, path, samples=chosen, **options)


def export_nir(
    source: Source,
    path: Path | str,
    *,
    samples: Samples | int | None = SAMPLES,
    dt: float | None = None,
    **options: Any,
) -> Exported:
    """Write a network to NIR and verify that the file computes the same.

    Args:
        source, path, samples, dt: as `export_onnx` takes them, the file `.nir`.
        options: `form`, `compat`, `target`, `approximate`, as `asnn.exporters.export_nir` takes
            them.

    Raises:
        ConfigError: an option is not possible, or NIR cannot express a layer exactly.
        VerificationError: the file computes something else; it is renamed `*.unverified`.
    """
    found, chosen = _resolve(source, samples, dt)
    if found.imported is not None:
        options.setdefault("form", "given")
    return exporters.export_nir(found, path, samples=chosen, **options)


def verify(
    source: Source,
    path: Path | str,
    *,
    samples: Samples | int = SAMPLES,
    dt: float | None = None,
) -> Any:
    """Compare a file with a network; the report's `verified` says whether they agree.

    Args:
        source, samples: as `export_onnx` takes them.
        path: an `.onnx` or `.nir` file, of asnn or of another tool.
        dt: length of a step in seconds, of a NIR file of another tool that does not state it.

    Raises:
        DataError: the file is damaged, or not of this network.
    """
    found, chosen = _resolve(source, samples, file=Path(path))
    if chosen is None:
        raise ConfigError(
            "verify needs samples",
            why="a file and a network are compared on them",
            remedy="leave samples out, or give their number or an asnn.exporters.Samples",
        )
    return exporters.verify(found, Path(path), chosen, dt=dt)


def _resolve(
    source: Source,
    samples: Samples | int | None,
    dt: float | None = None,
    file: Path | None = None,
) -> tuple[ExportSource, Samples | None]:
    """Return what is exported, and the samples to verify it with; a folder is opened once.

    Args:
        source, samples, dt: as of `export_onnx`.
        file: an earlier export, whose dt is taken.
    """
    if isinstance(source, ExportSource) and dt is not None:
        raise ConfigError(
            "the source is made for a step already", remedy="give dt to asnn.exporters.source_of"
        )
    if not isinstance(source, ExportSource | SpikingNetwork):
        run = source if isinstance(source, OpenRun) else open_run(source)
        if file is not None and has_many_times(run.model):
            dt = dt_of_file(file)
        found = source_of_run(run, dt=dt)
        if isinstance(samples, int):
            samples = samples_of_run(run, "test", samples, found)
        return found, samples
    if isinstance(source, SpikingNetwork):
        shape = None
        if isinstance(samples, Samples) and not source.has_config:  # a network built by hand
            shape = samples.images.shape[1:]
        if file is not None and has_many_times(source):
            dt = dt_of_file(file)
        source = source_of(source, in_shape=shape, dt=dt)
    if isinstance(samples, int):
        samples = random_samples(source.sample_shape, min(samples, NOISE_SAMPLES))
    return source, samples
