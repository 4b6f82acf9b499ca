"""A picture of inputs with their answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...coding.samples import SampleSpec
from ..prediction.answers import Answers
from ..prediction.inputs.sample import Sample
from ..prediction.prediction import Prediction
from .files import save_figure
from .style import COLOURS, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_DRAWN = 16
COLUMNS = 4
PANEL = (2.3, 2.6)  # inches
MAX_NAME = 26
RIGHT, WRONG = COLOURS[0], COLOURS[1]


def draw_predictions(
    path: Path,
    samples: Sequence[Sample],
    predictions: Sequence[Prediction],
    spec: SampleSpec,
    answers: Answers,
) -> None:
    """Write a picture of the first 16 inputs, as the network takes them, with their answers.

    An answer other than the known class is in another colour, with that class.

    Args:
        path: a PNG, SVG or PDF file.
        samples: what was read.
        predictions: their answers, in the same order.
        spec: what the samples are.
        answers: what the answers are.

    Raises:
        ConfigError: the file has another suffix.
        AsnnError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    pairs = list(zip(samples[:MAX_DRAWN], predictions[:MAX_DRAWN], strict=True))
    columns = min(COLUMNS, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    with style():
        figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows), layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, (sample, prediction) in zip(panels, pairs, strict=False):
            _draw(axes, sample.value, spec)
            answers.draw(axes, prediction, sample)
            axes.set_title(_shortened(PurePath(sample.source).name), fontweight="normal")
            wrong = prediction.correct is False
            axes.set_xlabel(
                answers.caption(prediction), color=WRONG if wrong else RIGHT, fontweight="bold"
            )
        for axes in panels[len(pairs) :]:
            axes.set_axis_off()
    save_figure(path, figure)


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"…{name[1 - MAX_NAME :]}"


def _draw(axes: Axes, value: Any, spec: SampleSpec) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    if spec.kind == "events":
        _, height, width = spec.shape
        # On minus off events of each pixel.
        signs = 2.0 * np.asarray(value.p, np.float64) - 1 if spec.shape[0] == 2 else None
        sums = np.bincount(
            np.asarray(value.y, np.int64) * width + value.x, signs, minlength=height * width
        )
        high = max(float(np.abs(sums).max()), 1.0)
        image = sums.reshape(height, width)
        axes.imshow(image, cmap="PuOr", vmin=-high, vmax=high, interpolation="nearest")
        return
    assert isinstance(value, Tensor)
    if spec.kind == "series":
        axes.imshow(value.flatten(1).T, aspect="auto", origin="lower", cmap="cividis")
        return
    pixels = value.float() / 255 if value.dtype == torch.uint8 else value
    if len(pixels) == 3:
        axes.imshow(pixels.permute(1, 2, 0), interpolation="nearest")
    else:
        axes.imshow(pixels[0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
