"""`asnn eval`: what a trained network does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...terminal import completion, console

if TYPE_CHECKING:
    from ....measure.outcomes import Calibration
    from ....records.layout import Run


def evaluate_run(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="Folder of a run.",
            show_default="the newest",
            autocompletion=completion.runs,
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="test, validation or train.",
            autocompletion=completion.one_of(*completion.SPLITS),
        ),
    ] = "test",
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", help="Use the first steps only: an early answer.", show_default="all"
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="auto, cpu, cuda, cuda:N or mps.",
            autocompletion=completion.one_of(*completion.DEVICES),
        ),
    ] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Samples at a time.")] = 256,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where the data set's files are.", show_default="as in training"),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="data.KEY=VALUE",
            help="Where the data are now, such as data.path=images.zip. Repeatable.",
        ),
    ] = None,
    held: Annotated[
        str,
        typer.Option(
            "--schedules",
            help="learned, or mean: each held at its mean over the steps.",
        ),
    ] = "learned",
    anew: Annotated[
        bool,
        typer.Option(
            "--recalibrate",
            help="Estimate the statistics of batch norms anew, on training data.",
        ),
    ] = False,
    energy: Annotated[
        bool, typer.Option("--energy", help="Count operations, and tell what they cost.")
    ] = False,
    energy_table: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="What operations cost: 45nm-fp32, 45nm-int8, 45nm-fp32-memory, or a TOML file.",
            show_default="45nm-fp32",
            autocompletion=completion.energy_tables,
        ),
    ] = None,
    twin: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="A trained ANN of the same architecture, to compare energy with.",
            show_default="the run's teacher, if it is one",
            autocompletion=completion.runs,
        ),
    ] = None,
    exits: Annotated[
        list[str] | None,
        typer.Option(
            "--exit",
            metavar="confidence=P[,P...]",
            help="Answer at the first step with that confidence. Repeatable.",
        ),
    ] = None,
    calibrated: Annotated[
        bool, typer.Option("--calibration", help="Compare confidence with accuracy.")
    ] = False,
    corrupted: Annotated[
        list[str] | None,
        typer.Option(
            "--corrupt",
            metavar="NAME[=SEVERITY,...]",
            help="Accuracy under noise, blur, lost spikes, few bits, dead neurons; or all. "
            "Repeatable.",
            autocompletion=completion.corruptions,
        ),
    ] = None,
    timed: Annotated[
        bool,
        typer.Option("--latency", help="Time single images at all steps, computed in three ways."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.")
    ] = False,
) -> None:
    """Evaluate a trained network: accuracy by step, confusion, spikes, learned schedules.

    And what it costs and withstands: energy, early exits, time, calibration, corruptions.

    Examples:

    asnn eval

    asnn eval runs/a --split validation --steps 2

    asnn eval --schedules mean --recalibrate

    asnn eval --energy --energy-table 45nm-int8 --exit confidence=0.8,0.9

    asnn eval --corrupt spike-drop --corrupt quantize=4 --calibration --latency

    asnn eval --json | jq .accuracy
    """
    from ....core.registry import unknown
    from ....learning.device import find_device
    from ....measure import averaged, evaluate, schedules
    from ....measure.cost.energy import energy_of_samples
    from ....measure.cost.tables import DEFAULT, read_cost_table
    from ....measure.early_exit import parse_exits, tradeoff
    from ....measure.outcomes import calibration
    from ....measure.robustness.corruptions import robustness
    from ....models.layers.spiking import used_kernels
    from ....records.open_run import open_run
    from ...terminal.processes import together
    from . import corrupt as eval_corrupt
    from . import energy as eval_energy
    from . import latency as eval_latency
    from . import show as eval_show

    if held not in ("learned", "mean"):
        raise unknown("schedules", held, ["learned", "mean"])
    rules = parse_exits(exits or [])
    costs = read_cost_table(DEFAULT if energy_table is None else energy_table)
    # What an early answer saves is told with what the whole costs, and by which table.
    energy = energy or bool(rules) or energy_table is not None or twin is not None
    with together() as processes:
        opened = open_run(run, data_dir=data_dir, changes=changes or [])
        found = opened.files
        where = processes.device(find_device(device))
        recipe, model = opened.recipe, opened.model.to(where)
        total = model.coding.steps
        _check_steps(steps, total)
        corruptions = eval_corrupt.read_corruptions(corrupted or [], model)
        other = eval_energy.find_twin(opened, twin, model) if energy else None
        data = processes.in_turn(lambda: opened.data)
        samples = data.split(split)
        if held == "mean":
            model = averaged(model)
        if anew:
            _recalibrate(model, data, batch_size, where)
        if not as_json:
            console.note(f"evaluating {found.path} on {split} data ({where})")
        options: dict[str, Any] = {
            "classes": len(data.classes),
            "full_scale": data.full_scale,
            "batch_size": batch_size,
            "device": where,
            "part": processes.part,
        }
        result = evaluate(model, samples, steps=steps, count=energy, **options)
        learned = schedules(model)
        sure = calibration(result.outcomes)
        content: dict[str, Any] = {}
        if result.counts is not None:
            beside = other and evaluate(other.to(where), samples, count=True, **options)
            content["energy"] = eval_energy.energy(model, result, costs, twin=beside)
            spent = energy_of_samples(result.counts, costs)
            content["exits"] = tradeoff(result.outcomes, rules, spent)
        if calibrated:
            content["calibration"] = sure.bins
        if corruptions:
            content["corruption"] = robustness(
                model, samples, corruptions, clean=result, steps=steps, **options
            )
        if timed and processes.first:
            content["latency"] = eval_latency.latency(model, samples, full_scale=data.full_scale)
        if as_json:
            console.print_json(
                {
                    "run": str(found.path),
                    "data": data.name,
                    "split": split,
                    "fingerprint": data.fingerprint,
                    "steps": steps or total,
                    "coding": recipe.coding.name,
                    "device": str(where),
                    "kernels": used_kernels(model.frozen()),
                    "classes": data.classes,
                    **result.as_dict(),
                    "schedules": learned,
                    "schedules_held": held,
                    "recalibrated": anew,
                    **content,
                }
            )
        else:
            eval_show.show(result, learned, data.classes, content)
        if held == "learned" and processes.first:
            whole = steps is None and split == "test"
            _draw(found, learned, sure, content if whole else {}, quiet=as_json)


def _recalibrate(model: Any, data: Any, batch_size: int, device: Any) -> None:
    import torch

    from ....datasets import Batches
    from ....measure import recalibrate

    batches = Batches(
        data.train,
        batch_size=batch_size,
        full_scale=data.full_scale,
        device=device,
        shuffle=True,  # for samples may lie class by class
        generator=torch.Generator().manual_seed(0),
    )
    recalibrate(model, batches)


def _check_steps(steps: int | None, total: int) -> None:
    from ....core.errors import ConfigError

    if steps is not None and not 1 <= steps <= total:
        raise ConfigError(f"--steps must be from 1 to {total}, the steps of the run, not {steps}")


def _draw(run: Run, learned: Any, found: Calibration, content: dict[str, Any], quiet: bool) -> None:
    """Draw into the run what was found: pictures of a run are of all steps and the test data."""
    from ....core.errors import AsnnError
    from ....measure.figures.curves import draw_schedules, save_figure
    from ....measure.figures.robustness import draw_robustness
    from ....reports.cost_figures import tradeoff_figure
    from ....reports.figures import reliability

    drawn = {run.schedules: lambda path: draw_schedules(path, learned)}
    if "exits" in content:
        drawn[run.tradeoff] = lambda path: save_figure(
            path, tradeoff_figure(content["exits"]).figure
        )
    if "calibration" in content:
        drawn[run.reliability] = lambda path: save_figure(path, reliability(found).figure)
    if "corruption" in content:
        rows = {run.path.name: content["corruption"]}
        drawn[run.robustness] = lambda path: draw_robustness(path, rows)
    for path, draw in drawn.items():
        try:
            draw(path)
        except AsnnError as failed:  # a run may lie on a read-only disk; its figures are told
            console.note(f"warning: {failed}")
            return
        if not quiet:
            console.note(f"drawn: {path}")
