"""Trained runs as sources of exports, and samples of their data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..datasets import Batches, DataSet
from ..models.noise import without_noise
from ..records.open_run import OpenRun
from .source import ExportSource, Samples, source_of


def source_of_run(run: OpenRun, *, noise: bool = True) -> ExportSource:
    """Return the network of a run as a source; the file names recipe, data and classes.

    Args:
        run: the run.
        noise: false for its network without the noise of neurons and readout, see `without_noise`.

    Raises:
        ConfigError: the export graph has no node for a layer, or there is no noise to leave out.
        DataError: the files of the run cannot be read.
    """
    recipe = run.recipe
    about: dict[str, Any] = {"recipe": recipe.name, "data": recipe.data.name, "classes": run.labels}
    if recipe.task.name != "classification":  # which files without a task have
        about["task"] = {"name": recipe.task.name, **recipe.task.options()}
    model, checksum = run.load_with_checksum()
    if not noise:
        model = without_noise(model)
        about["noise"] = "off"
    return replace(source_of(model, about), weights_sha256=checksum)


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
    # Labels of each step and real values are not compared with the class of a sample.
    classes = targets if targets.ndim == 1 and targets.dtype.kind in "iu" else None
    return Samples(np.concatenate(images)[:count], classes, name)
