"""Trained runs as sources of exports, and samples of their data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ..core.errors import ConfigError
from ..datasets import Batches, DataSet
from ..datasets.sources.none import NO_DATA
from ..models.noise import without_noise
from ..records.open_run import OpenRun
from ..tasks import create_task
from .source import ExportSource, Samples, random_samples, source_of

Noise = Literal["on", "off", "input"]
NOISES = ("on", "off", "input")
NOISE_SAMPLES = 64
"""To verify a network without data."""


def source_of_run(run: OpenRun, *, noise: Noise = "on", dt: float | None = None) -> ExportSource:
    """Return the network of a run as a source; the file names recipe, data and classes.

    Args:
        run: the run.
        noise: of neurons and a readout that draw. With `on` such a network is refused; `off` takes
            it without noise, see `without_noise`; with `input` the random numbers are inputs.
        dt: as of `source_of`.

    Raises:
        ConfigError: the export graph has no node for a layer, there is no noise to leave out or to
            take as input, or `dt` is of no file of this network.
        DataError: the files of the run cannot be read.
    """
    recipe = run.recipe
    about: dict[str, Any] = {"recipe": recipe.name, "data": recipe.data.name, "classes": run.labels}
    if recipe.task.name != "classification":  # which files without a task have
        about["task"] = {"name": recipe.task.name, **recipe.task.options()}
    model, checksum = run.load_with_checksum()
    if noise != "on":
        about["noise"] = noise
    if noise == "off":
        model = without_noise(model)
    source = source_of(model, about, noise=noise == "input", dt=dt)
    if noise == "input" and not source.graph.noise:
        raise ConfigError(
            "no neuron and no readout of this network draws random numbers",
            why="there is no noise that could be an input",
            remedy="leave --noise out",
        )
    return replace(source, weights_sha256=checksum)


def samples_of_run(run: OpenRun, split: str, number: int, source: ExportSource) -> Samples:
    """Return samples to verify the export of a run with: those of its data, or noise without data.

    Raises:
        ConfigError: there is no such split.
        DataError: the data cannot be read.
    """
    if run.recipe.data.name == NO_DATA:
        return random_samples(source.sample_shape, min(number, NOISE_SAMPLES))
    return samples_of(run.data, split, number, source)


def samples_of(data: DataSet, split: str, number: int, source: ExportSource) -> Samples:
    """Return the first samples of a split, to verify the export of `source` with.

    Raises:
        ConfigError: there is no such split.
    """
    part = data.split(split)
    count = min(number, len(part))
    images, labels = [], []
    for x, y in Batches(part, batch_size=min(count, 256), full_scale=data.full_scale):
        code = x if source.takes_images else source.coding.encode(x).transpose(0, 1)  # type: ignore[arg-type]
        images.append(code.numpy())  # type: ignore[union-attr]
        labels.append(y.first.numpy())
        if sum(map(len, labels)) >= count:
            break
    name = f"{count} {split} samples of {data.name}"
    targets = np.concatenate(labels)[:count]
    # Labels of each step and real values are not compared with the class of a sample, nor are the
    # answers of a task that asks for something else.
    task = source.graph.about.get("task")
    answers_class = task is None or create_task(**task).one_class  # type: ignore[arg-type]
    one_class = answers_class and targets.ndim == 1 and targets.dtype.kind in "iu"
    classes = targets if one_class else None
    return Samples(np.concatenate(images)[:count], classes, name)
