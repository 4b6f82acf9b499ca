"""Exported files, opened to predict with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...coding.samples import SampleSpec
from ...core.errors import ConfigError, DataError
from ...core.packages import require_package
from ...core.text import shell
from ...formats.nir import read_nir
from ...formats.onnx import read_onnx
from ...measure.early_exit import ExitRule
from ...measure.prediction.answers import answers_of
from ...measure.prediction.inputs.reader import Reader, reader_of
from ...measure.prediction.predictor import Predictor
from ...measure.prediction.runtimes import Runtime, check_steps
from ...models.noise import has_noise
from ...models.readouts import create_readout
from ...records.open_run import OpenRun
from ..graph.noise import PREFIX
from ..nir.unrolled import OUTPUT
from ..onnx.export import files_of_form
from ..onnx.forms import OPSET, Form, build_models
from ..onnx.operators import check_operators
from ..onnx.runtime import OnnxSession
from ..runs import source_of_run
from ..timing.form import build_times
from ..timing.network import TimingSource
from .description import UNROLLED, Description
from .runtimes import NirRuntime, OnnxRuntime

MAX_UNROLLED = 32
"""Steps that ONNX unrolls; more of them run as a stream, which is built in far less time."""


class _Options(NamedTuple):
    """The options of `open_file`."""

    steps: int | None
    exit: ExitRule | None
    top: int
    windows: bool
    score: float | None


@dataclass(frozen=True)
class OpenedFile:
    """An exported file that answers.

    Attributes:
        predictor: answers to samples.
        reader: of its samples.
        notes: what the file does not say, and what is taken instead.
    """

    predictor: Predictor
    reader: Reader
    notes: list[str]


def open_file(
    path: Path | str,
    *,
    steps: int | None = None,
    exit: ExitRule | None = None,
    top: int = 1,
    windows: bool = False,
    score: float | None = None,
) -> OpenedFile:
    """Open an `.onnx` or `.nir` file that asnn wrote.

    Args:
        path: the file; of a stream, either of its two.
        steps: use the first steps only.
        exit, top, score: see `Answers`.
        windows: answer to each part of a recording, see `EventReader`.

    Raises:
        ConfigError: the file cannot do what an option asks for.
        DataError: it is damaged or hostile, has operators that asnn does not write, or does not say
            how it is run.
    """
    path = Path(path)
    options = _Options(steps, exit, top, windows, score)
    return _open_onnx(path, options) if path.suffix == ".onnx" else _open_nir(path, options)


def onnx_runtime_of(
    run: OpenRun, steps: int | None = None, exit: ExitRule | None = None
) -> OnnxRuntime:
    """Return a run's network in onnxruntime, exported in memory.

    It runs step by step, as a stream, if it may stop before the last step: by `exit`, or by a
    readout whose decision is a function of each step.

    Raises:
        ConfigError: ONNX cannot express a layer exactly, or the network has fewer steps.
        DataError: a file of the run cannot be read.
    """
    require_package("onnxruntime", "--runtime onnxruntime", otherwise="use --runtime torch")
    total, every = run.model.coding.steps, run.model.steps_per_output
    check_steps(steps, total, every)
    source = source_of_run(run, noise="input" if has_noise(run.model) else "on")
    if isinstance(source, TimingSource):
        model = build_times(source, OPSET)
        session = OnnxSession(model.SerializeToString())
        return OnnxRuntime({"model": session}, total, coding=None, steps=steps, noise={})
    readout = None
    if source.exact is not None:  # its file has time steps, and another readout
        total, steps = source.graph.steps, None
        readout = create_readout("mean", 1, 1, steps=1, scaled=False)
    answer = source.graph.answer
    stops = exit is not None or answer.chooses_step or total > MAX_UNROLLED
    by_step = stops and not answer.needs_former_steps
    form: Form = "stream" if by_step else "sequence"
    coding = None
    try:
        models = build_models(source.graph, source.coding, form=form)
    except ConfigError:  # of a code that ONNX cannot compute; a layer is refused again
        coding = source.coding
        models = build_models(source.graph, source.coding, form=form, input="spikes")
    sessions = {name: OnnxSession(model.SerializeToString()) for name, model in models.items()}
    noise = source.graph.noise
    options = {"steps": steps, "noise": noise, "readout": readout, "every": every}
    return OnnxRuntime(sessions, total, coding=coding, **options)


def _open_onnx(path: Path, options: _Options) -> OpenedFile:
    steps = options.steps
    require_package("onnxruntime", "an .onnx file")
    about = {entry.key: entry.value for entry in read_onnx(path).metadata_props}
    description = Description.of(path, about)
    check_steps(steps, description.steps)
    files = files_of_form(path, about)
    models = {name: read_onnx(file) for name, file in files.items()}
    check_operators(models.values())
    sessions = {name: OnnxSession(model.SerializeToString()) for name, model in models.items()}
    shapes = {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        for model in models.values()
        for value in (*model.graph.input, *model.graph.output)
    }
    takes_images = about.get("input") == "image"
    wanted = "logits_per_step" if "model" in sessions else "logits"
    name = "image" if takes_images else "x" if "step" in sessions else "steps"
    if name not in shapes or wanted not in shapes:
        raise DataError(
            f"{path} has no input {name} or no output {wanted}",
            why="an export of asnn has both",
            remedy="export the run again",
        )
    shape = shapes[name][2:] if name == "steps" else shapes[name][1:]
    spec = description.sample(shape, is_step=not takes_images)
    coding = None if takes_images else description.coding(spec)
    skipped = 1 if "step" in sessions else 2  # axes before those of a sample
    noise = description.noise(
        {key: each[skipped:] for key, each in shapes.items() if key.startswith(PREFIX)}
    )
    every = description.steps_per_output
    check_steps(steps, description.steps, every)
    given = {"steps": steps, "noise": noise, "every": every}
    runtime = OnnxRuntime(sessions, description.steps, coding=coding, **given)
    return _opened(description, runtime, spec, shapes["logits"][1], options)


def _open_nir(path: Path, options: _Options) -> OpenedFile:
    steps = options.steps
    graph = read_nir(path)
    description = Description.of(path, {key: _text(x) for key, x in graph.metadata.items()})
    if description.form == "backbone":
        raise DataError(
            f"{path} is one part of a network, the sums of its spikes",
            why="the part that reads them is in no NIR file",
            remedy="give the run, or the ONNX files of --form parts",
        )
    if description.form == "given":
        raise DataError(
            f"{path} holds the nodes of an imported network as they are",
            why="it does not say how samples become its input",
            remedy=f"give the run, or make one: asnn import {shell(path)}",
        )
    total, unrolled = description.steps, description.form in UNROLLED
    check_steps(steps, total)
    for option, given in (("--steps", steps is not None), ("--exit", options.exit is not None)):
        if unrolled and given:
            raise ConfigError(
                f"{option} does not go with {path}",
                why=f"the form {description.form} computes all steps at once, and gives their "
                "answer alone",
                remedy="give the run, or an ONNX file",
            )
    try:
        shape = tuple(int(n) for n in np.ravel(graph.nodes["input"].input_type["input"]))
        count = int(np.ravel(graph.nodes[OUTPUT].output_type[OUTPUT])[0])
    except (KeyError, IndexError, TypeError) as error:
        raise DataError(
            f"{path} has no input or no output of a known shape",
            why="an export of asnn has both",
            remedy="export the run again",
        ) from error
    spec = description.sample(shape)
    coding = description.coding(spec)
    if unrolled and not coding.static and spec.kind == "image":  # its input is all steps
        spec = description.sample((shape[0] // total, *shape[1:]))
        coding = description.coding(spec)
    if unrolled and not description.answers_once:  # its output is that of all steps
        count //= total
    runtime = NirRuntime(
        graph,
        coding,
        unrolled=unrolled,
        steps=steps or total,
        answers_once=description.answers_once,
    )
    return _opened(description, runtime, spec, count, options)


def _opened(
    description: Description,
    runtime: Runtime,
    spec: SampleSpec,
    count: int,
    options: _Options,
) -> OpenedFile:
    task = description.task
    make = answers_of(task)
    classes = make.class_count(count)
    labels = description.labels(classes) if classes else []
    task.restore(labels, spec, description.coding(spec) if make.needs_code else None)
    # A grid of cells is in no metadata; it follows from the network.
    readout = description.network(spec).readout if make.has_boxes else description.readout
    answers = make(task, labels, count, readout, options.exit, options.top, options.score)
    notes = []
    if classes and not description.has_labels:
        notes.append(f"{description.path} names no classes: they are numbered from 0")
    data, boxes = description.about.get("data"), answers.has_boxes
    reader = reader_of(spec, labels, data, windows=options.windows, letterbox=boxes)
    return OpenedFile(Predictor(runtime, answers, spec), reader, notes)


def _text(item: object) -> str:
    return item.decode() if isinstance(item, bytes) else str(item)
