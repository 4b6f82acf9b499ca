"""`asnn predict`: the answers of a network to files of your own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...terminal import completion, console, exits, options, piped

if TYPE_CHECKING:
    from ....measure.cost.tables import CostTable
    from ....measure.early_exit import ExitRule
    from ....measure.prediction.inputs.find import Finder
    from ....measure.prediction.inputs.reader import Reader
    from ....measure.prediction.inputs.sample import Sample, Unreadable
    from ....measure.prediction.predictor import Predictor
    from .arguments import Arguments

RUNTIMES = ("torch", "onnxruntime")


def predict(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN|FILE|INPUT",
            help="First the folder of a run, or an .onnx or .nir file; then pictures, recordings, "
            "WAV files, .npy and .npz arrays, folders and zips of them, or - for stdin.",
            show_default="the newest run",
            autocompletion=completion.runs_and_paths,
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Name the K most probable classes.")] = 1,
    steps: Annotated[
        int | None,
        typer.Option("--steps", help="Answer after this many steps.", show_default="all"),
    ] = None,
    exit: Annotated[
        str | None,
        typer.Option(
            "--exit",
            metavar="confidence=P",
            help="Early exit at the first step with that confidence.",
        ),
    ] = None,
    windows: Annotated[
        bool,
        typer.Option(
            "--windows", help="Answer to each part of a recording that is as long as in training."
        ),
    ] = False,
    score: Annotated[
        float | None,
        typer.Option(
            "--score",
            min=0.0,
            max=1.0,
            metavar="P",
            help="Of a detection: leave out boxes that are less probable.",
            show_default="0.25",
        ),
    ] = None,
    energy: Annotated[
        bool, typer.Option("--energy", help="Estimate the energy of each input.")
    ] = False,
    energy_table: options.EnergyTable = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            help="Compute a run in torch, or exported in onnxruntime.",
            show_default="torch",
            autocompletion=completion.one_of(*RUNTIMES),
        ),
    ] = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = 256,
    csv: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE|-", help="Write a table; - is stdout."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the first 16 inputs with their answers: a .png, .svg or .pdf file.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON for each input.")
    ] = False,
) -> int:
    """Answer to pictures, recordings, series and arrays: class, confidence, step, spikes.

    Pictures are resized as in the training, and given its channels. An input that cannot be read
    is named, with exit code 4, and the others are answered.

    Examples:

    asnn predict cat.png

    asnn predict runs/a pictures/ --top 3 --csv answers.csv

    asnn predict model.onnx digits.npy --json | jq .class

    cat cat.png | asnn predict -

    asnn predict runs/a pictures/ --exit confidence=0.9 --energy --plot answers.png
    """
    from .arguments import parse_arguments

    found = parse_arguments(arguments or [])
    _check_options(found, runtime, device, energy or energy_table is not None, csv, plot, as_json)
    rule, table = _exit_rule(exit), _cost_table(energy, energy_table)
    options = {"steps": steps, "exit": rule, "top": top, "windows": windows, "score": score}
    predictor, reader = _open(found, runtime, device, table, options)
    return _predict(found, predictor, reader, batch_size, csv, plot, as_json)


def _check_options(
    arguments: Arguments,
    runtime: str | None,
    device: str,
    energy: bool,
    csv: str | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    from ....core.errors import ConfigError
    from ....core.packages import require_package
    from ....core.registry import unknown
    from ....measure.figures.files import figure_format

    if runtime not in (None, *RUNTIMES):
        raise unknown("--runtime", runtime, list(RUNTIMES))
    if as_json and csv == "-":
        raise ConfigError("--json and --csv - both want stdout", remedy="give --csv a file")
    if arguments.file is not None and runtime is not None:
        its = "onnxruntime" if arguments.file.suffix == ".onnx" else "asnn's interpreter of NIR"
        raise ConfigError(
            f"--runtime is for runs, {arguments.file} is a file",
            why=f"it is computed by {its}",
            remedy="leave --runtime out, or give the run",
        )
    if arguments.file is not None or runtime == "onnxruntime":
        where = str(arguments.file or "onnxruntime")
        if device not in ("auto", "cpu"):
            raise ConfigError(f"--device {device} is for torch, {where} is computed on the CPU")
        if energy:
            raise ConfigError(
                "--energy is for runs in torch",
                why=f"{where} does not say what its layers compute",
                remedy="give the run, without --runtime onnxruntime",
            )
    if plot is not None:
        require_package("matplotlib", "a picture", otherwise="leave --plot out")
        figure_format(plot)


def _exit_rule(text: str | None) -> ExitRule | None:
    from ....core.errors import ConfigError
    from ....measure.early_exit import parse_exit_rules

    rules = [] if text is None else parse_exit_rules([text])
    if len(rules) > 1:
        raise ConfigError(
            f"--exit {text} gives {len(rules)} thresholds",
            why="an input has one answer",
            remedy="give one; `asnn eval --exit` compares several",
        )
    return rules[0] if rules else None


def _cost_table(energy: bool, name: str | None) -> CostTable | None:
    from ....measure.cost.tables import DEFAULT, read_cost_table

    return read_cost_table(name or DEFAULT) if energy or name is not None else None


def _open(
    arguments: Arguments,
    runtime: str | None,
    device: str,
    table: CostTable | None,
    options: dict[str, Any],
) -> tuple[Predictor, Reader]:
    if arguments.file is not None:
        from ....exporters.prediction.open import open_file

        opened = open_file(arguments.file, **options)
        for note in opened.notes:
            console.note(note)
        return opened.predictor, opened.reader
    from ....records.open_run import open_run
    from ....records.predictions import predictor_of

    run = open_run(arguments.run)
    if arguments.run != run.path:
        console.note(f"the newest run: {run.path}")
    given: Any = {"device": device, "energy": table, **options}
    if runtime == "onnxruntime":
        from ....exporters.prediction.open import onnx_runtime_of

        given["runtime"] = onnx_runtime_of(run, options["steps"], options["exit"])
    return predictor_of(run, **given)


def _predict(
    arguments: Arguments,
    predictor: Predictor,
    reader: Reader,
    batch_size: int,
    csv: str | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Write the answers as they come, and return the exit code."""
    from ....measure.figures.predictions import draw_predictions
    from ....measure.prediction.inputs.find import Finder
    from ....measure.prediction.inputs.reader import read_all
    from .output import writers
    from .show import Counter, Table, show_inputs, show_summary
    from .summary import Summary

    finder = Finder(reader.suffixes, reader.noun)
    summary, table = Summary(), Table(predictor.answers)
    drawn: list[Sample] | None = None if plot is None else []
    samples = read_all(reader, _sources(arguments.inputs, finder))
    answers = predictor.predict(_kept(samples, drawn), batch_size)
    to_stdout = as_json or csv == "-"
    with (
        writers(predictor.answers, as_json=as_json, csv=csv) as outputs,
        Counter(shown=not to_stdout) as counter,
    ):
        for prediction in answers:
            for output in (summary, table, *outputs):
                output.add(prediction)
            counter.advance()
    if not to_stdout:
        table.show()
        show_summary(summary)
    if csv not in (None, "-"):
        console.note(f"wrote {csv}")
    show_inputs(summary, finder.described_others())
    if plot is not None and drawn:
        draw_predictions(plot, drawn, summary.first, predictor.spec, predictor.answers)
        console.note(f"drawn: {plot}")
    return exits.DATA if summary.failed else 0


def _sources(inputs: list[str], finder: Finder) -> Iterator[Any]:
    from ....measure.prediction.inputs.sample import Source
    from .arguments import STDIN, is_pipe

    for text in inputs:
        if text == STDIN or is_pipe(text):
            load = partial(
                piped.read_input,
                text,
                example="cat cat.png | asnn predict -",
                instead="name files or folders, which are read one by one",
            )
            yield Source("stdin" if text == STDIN else text, load)
        else:
            yield from finder.find([text])


def _kept(
    samples: Iterator[Sample | Unreadable], drawn: list[Sample] | None
) -> Iterator[Sample | Unreadable]:
    """Pass samples on, and keep the first ones if they are to be drawn."""
    from ....measure.figures.predictions import MAX_DRAWN
    from ....measure.prediction.inputs.sample import Sample

    for sample in samples:
        if drawn is not None and len(drawn) < MAX_DRAWN and isinstance(sample, Sample):
            drawn.append(sample)
        yield sample
