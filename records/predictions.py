"""Predictions of a trained run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from ..core.errors import ConfigError
from ..core.registry import unknown
from ..learning.device import find_device, require_float64
from ..measure.cost.tables import CostTable, read_cost_table
from ..measure.early_exit import ExitRule, parse_exit_rules
from ..measure.prediction.answers import answers_of
from ..measure.prediction.inputs.given import samples_given
from ..measure.prediction.inputs.reader import Reader, reader_of
from ..measure.prediction.prediction import Prediction
from ..measure.prediction.predictor import Predictor
from ..measure.prediction.runtimes import Runtime, TorchRuntime
from ..tasks import create_task

if TYPE_CHECKING:
    from .open_run import OpenRun

Errors = Literal["raise", "keep"]


def predictor_of(
    run: OpenRun,
    *,
    runtime: Runtime | None = None,
    steps: int | None = None,
    device: str = "auto",
    exit: ExitRule | None = None,
    top: int = 1,
    energy: CostTable | None = None,
    windows: bool = False,
    score: float | None = None,
) -> tuple[Predictor, Reader]:
    """Return what answers as a run does, and the reader of its samples; no data are loaded.

    Args:
        run: the run.
        runtime: what computes the outputs; torch by default.
        steps, device, energy: of torch, see `TorchRuntime`.
        exit, top, score: see `Answers`.
        windows: answer to each part of a recording, see `EventReader`.

    Raises:
        ConfigError: the answers of its task cannot be shown, or an option is not possible.
        DataError: a file of the run cannot be read.
    """
    recipe, model = run.recipe, run.model
    task = create_task(recipe.task.name, **recipe.task.options())
    outputs = int(model.config["classes"])
    readout = model.readout if runtime is None or runtime.readout is None else runtime.readout
    task.restore(run.labels, model.sample, model.coding)
    answers = answers_of(task)(task, run.labels, outputs, readout, exit, top, score)
    if runtime is None:
        where = find_device(device)
        require_float64(where, model)
        runtime = TorchRuntime(model, device=where, steps=steps, energy=energy)
    spec = model.sample
    assert spec is not None, "networks of runs know their samples"
    options = recipe.data.options()
    given = {"windows": windows, "letterbox": answers.has_boxes}
    reader = reader_of(spec, run.labels, recipe.data.name, options, **given)
    return Predictor(runtime, answers, spec), reader


def predict(
    run: OpenRun,
    inputs: Any,
    *,
    steps: int | None = None,
    top: int = 1,
    exit: float | None = None,
    energy: str | None = None,
    batch_size: int = 256,
    device: str = "auto",
    errors: Errors = "raise",
    windows: bool = False,
    score: float | None = None,
) -> Iterator[Prediction]:
    """Yield the answers to inputs, see `OpenRun.predict`."""
    if errors not in ("raise", "keep"):
        raise unknown("errors", errors, ["raise", "keep"])
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}", why="it must be at least 1")
    rule = None if exit is None else parse_exit_rules([f"confidence={exit}"])[0]
    predictor, reader = predictor_of(
        run,
        steps=steps,
        device=device,
        exit=rule,
        top=top,
        energy=None if energy is None else read_cost_table(energy),
        windows=windows,
        score=score,
    )
    for found in predictor.predict(samples_given(reader, inputs), batch_size):
        if found.error is not None and errors == "raise":
            raise found.error
        yield found
