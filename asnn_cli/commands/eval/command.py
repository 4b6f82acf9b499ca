"""`asnn eval`: evaluate a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...terminal import completion, console, options

DEFAULT_TOP = 5


def evaluate_run(
    run: options.RunFolder = None,
    split: options.Split = "test",
    steps: Annotated[
        int | None,
        typer.Option("--steps", help="Evaluate after this many steps only.", show_default="all"),
    ] = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = 256,
    data_dir: options.DataDir = None,
    changes: options.DataChanges = None,
    schedule: Annotated[
        str,
        typer.Option(
            "--schedules",
            help="learned, or mean: each replaced by its mean over the steps.",
        ),
    ] = "learned",
    recalibrated: Annotated[
        bool,
        typer.Option(
            "--recalibrate",
            help="Estimate the statistics of batch norms again, on training data.",
        ),
    ] = False,
    noise: Annotated[
        str,
        typer.Option(help="off: neurons and readouts that draw random numbers, without the noise."),
    ] = "on",
    energy: Annotated[
        bool, typer.Option("--energy", help="Count operations and estimate their energy.")
    ] = False,
    energy_table: options.EnergyTable = None,
    ann: Annotated[
        Path | None,
        typer.Option(
            "--ann",
            "--twin",
            metavar="RUN",
            help="The trained ANN counterpart, of the same architecture, to compare energy with.",
            show_default="the run's teacher, if it has one",
            autocompletion=completion.runs,
        ),
    ] = None,
    exits: Annotated[
        list[str] | None,
        typer.Option(
            "--exit",
            metavar="confidence=P[,P...]",
            help="Early exit at the first step with that confidence. Repeatable.",
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            metavar="K",
            help="Share of samples whose class is among the K likeliest.",
            show_default="5, of more than 5 classes",
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
            help="The task's primary metric under noise, blur, lost spikes or events, few bits, "
            "dead neurons; or all. Repeatable.",
            autocompletion=completion.corruptions,
        ),
    ] = None,
    moved: Annotated[
        str | None,
        typer.Option(
            "--equivariance",
            metavar="rot90,flip,shift[=PIXELS]",
            help="Share of equal answers, and of equal spikes by layer, for turned, flipped or "
            "moved images.",
            autocompletion=completion.list_of(completion.one_of(*completion.TRANSFORMS)),
        ),
    ] = None,
    timed: Annotated[
        bool,
        typer.Option("--latency", help="Time single images: eager, fused, in onnxruntime."),
    ] = False,
    repeats: Annotated[
        int | None,
        typer.Option(
            "--repeats",
            metavar="N",
            help="Mean and deviation over N draws, for codes and neurons that draw.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Evaluate a trained network: accuracy by step, scores by class, spikes, learned schedules.

    On request: energy, early exits, calibration, corruptions, equivariance, latency, repeated
    draws.

    Examples:

    asnn eval

    asnn eval runs/a --split validation --steps 2

    asnn eval --top 3 --schedules mean --recalibrate

    asnn eval --energy --energy-table 45nm-int8 --exit confidence=0.8,0.9

    asnn eval --corrupt spike-drop --corrupt quantize=4 --calibration --latency

    asnn eval --equivariance rot90,flip,shift=2

    asnn eval runs/rate --repeats 5

    asnn eval --json | jq .accuracy
    """
    from ....benchmarks.single_image import latency
    from ....core.registry import unknown
    from ....learning.counterpart import find_ann
    from ....learning.device import find_device, require_float64
    from ....measure import evaluate, frozen_schedules, schedules
    from ....measure.cost.ann_comparison import energy_beside_ann
    from ....measure.cost.energy import energy_of_samples
    from ....measure.cost.tables import DEFAULT, read_cost_table
    from ....measure.early_exit import decision, parse_exit_rules, require_steps, tradeoff
    from ....measure.equivariance import equivariance, read_transforms, require_unmoved
    from ....measure.prediction.runtimes import check_steps
    from ....measure.repeats import check_repeats, draws, repeated
    from ....measure.robustness.corruptions import robustness
    from ....models.clocked import steps_before
    from ....models.layers.spiking import used_kernels
    from ....models.noise import without_noise
    from ....records.open_run import open_run, refuse_limit
    from ....tasks.class_scores import class_scores
    from ....tasks.outcomes import calibration
    from ...terminal.processes import together
    from .corrupt import CorruptionProgress, read_corruptions
    from .pictures import draw_pictures
    from .show import show_evaluation

    if schedule not in ("learned", "mean"):
        raise unknown("schedules", schedule, ["learned", "mean"])
    if noise not in ("on", "off"):
        raise unknown("--noise", noise, ["on", "off"])
    if split != "train" and not recalibrated:
        refuse_limit(changes or [])
    rules = parse_exit_rules(exits or [])
    table = read_cost_table(DEFAULT if energy_table is None else energy_table)
    # Early exits are reported with the energy that they save, by the same table.
    energy = energy or bool(rules) or energy_table is not None or ann is not None
    with together() as processes:
        opened = open_run(run, data_dir=data_dir, changes=changes or [])
        where = processes.device(find_device(device))
        require_float64(where, opened.model)
        model = opened.model.to(where)
        if noise == "off":
            model = without_noise(model)
            opened.task.use_readout(model.readout)
        check_steps(steps, model.coding.steps, model.steps_per_output)
        if rules:
            require_steps(model.readout)
        if repeats is not None:
            check_repeats(model, repeats)
        corruptions = read_corruptions(corrupted or [], model)
        transforms = [] if moved is None else read_transforms(moved, model)
        ann_model = find_ann(opened, ann) if energy else None
        if transforms:
            require_unmoved(opened.task)
        _check_task(opened.task, exit=rules, calibration=calibrated, top=top is not None)
        likeliest = _likeliest(top, opened.task)
        data = processes.in_turn(lambda: opened.data)
        samples = data.split(split)
        if schedule == "mean":
            model = frozen_schedules(model)
        if recalibrated:
            _recalibrate(model, data, batch_size, where)

        if not as_json:
            console.note(f"evaluating {opened.path} on {split} data ({where})")
        options: dict[str, Any] = {
            "task": opened.task,
            "full_scale": data.full_scale,
            "batch_size": batch_size,
            "device": where,
            "part": processes.part,
        }
        counted = {"count": energy, "graded": table.graded}
        result = evaluate(model, samples, steps=steps, **counted, **options)
        outcomes = result.outcomes
        confidence = None if outcomes is None else calibration(outcomes)
        before = steps_before(model)
        content: dict[str, Any] = {"steps_before": before} if before else {}
        if model.steps_per_output > 1:
            content["output_steps"] = list(model.output_steps)[: model.outputs_within(steps)]
        if result.counts is not None:
            ann_result = ann_model and evaluate(ann_model.to(where), samples, **counted, **options)
            content["energy"] = energy_beside_ann(model, result, table, ann_result)
            spent = energy_of_samples(result.counts, table)
            if outcomes is not None:
                content["exits"] = tradeoff(outcomes, rules, spent, result.sample_spikes)
                own = decision(result, table)
                content |= {} if own is None else {"decision": own}
        if "confusion" in result.values:
            content["class_scores"] = class_scores(result.confusion, data.classes)
        if outcomes is not None:
            content["top_k"] = likeliest
            content["top_k_accuracy"] = likeliest and outcomes.top_k_accuracy(likeliest)
        if calibrated and confidence is not None:
            content["calibration"] = confidence.bins
        if repeats is not None:
            content["repeats"] = repeated(model, samples, result, repeats, steps=steps, **options)
        batches = -(-len(samples) // batch_size)
        if corruptions:
            with CorruptionProgress(corruptions, batches) as progress:
                content["corruption"] = robustness(
                    model,
                    samples,
                    corruptions,
                    clean=result,
                    before_each=progress.evaluation_begins,
                    each_batch=progress.batch_begins,
                    steps=steps,
                    **options,
                )
        if transforms and processes.first:
            with CorruptionProgress({"transforms": [1]}, batches) as progress:
                progress.evaluation_begins("transforms", len(transforms))
                begins = {"each_batch": progress.batch_begins, "steps": steps}
                content["equivariance"] = equivariance(
                    model, samples, transforms, **begins, **options
                )
        if timed and processes.first:
            content["latency"] = latency(model, samples, full_scale=data.full_scale)

        learned = schedules(model)
        if as_json:
            console.print_json(
                {
                    "run": str(opened.path),
                    "data": data.name,
                    "split": split,
                    "fingerprint": data.fingerprint,
                    "steps": model.whole_outputs(steps),
                    "coding": opened.recipe.coding.name,
                    "draws": draws(model),
                    "noise": noise,
                    "device": str(where),
                    "kernels": used_kernels(model.frozen()),
                    "task": opened.task.name,
                    "metric": opened.task.primary.document(),
                    "classes": data.classes,
                    **result.as_dict(),
                    "schedules": learned,
                    "schedules_held": schedule,
                    "recalibrated": recalibrated,
                    **content,
                }
            )
        else:
            show_evaluation(result, learned, opened.task, content, data.spec)
            if draws(model) and repeats is None:
                console.note("of one draw of the random code: --repeats N gives the deviation")
        if schedule == "learned" and processes.first:
            # Pictures of a run show all steps and the test data.
            drawn = content if steps is None and split == "test" else {}
            draw_pictures(
                opened.files, learned, confidence, drawn, metric=opened.task.primary, quiet=as_json
            )


def _recalibrate(model: Any, data: Any, batch_size: int, device: Any) -> None:
    import torch

    from ....datasets import Batches
    from ....measure import recalibrate

    batches = Batches(
        data.train,
        batch_size=batch_size,
        full_scale=data.full_scale,
        device=device,
        shuffle=True,  # the samples may be sorted by class
        generator=torch.Generator().manual_seed(0),
    )
    recalibrate(model, batches)


def _check_task(task: Any, **requested: Any) -> None:
    """Refuse what only tasks with one class a sample have."""
    from ....core.errors import ConfigError

    for option, given in requested.items():
        if given and not task.one_class:
            raise ConfigError(
                f"--{option} is for classification, the task is {task.name}",
                why="it compares the classes of samples",
                remedy=f"leave --{option} out",
            )


def _likeliest(top: int | None, task: Any) -> int | None:
    """Return K of the top-K accuracy; None if it is not asked for and would say nothing."""
    from ....core.errors import ConfigError

    classes = task.outputs
    if top is None:
        return DEFAULT_TOP if task.one_class and classes > DEFAULT_TOP else None
    if not 1 <= top <= classes:
        raise ConfigError(f"--top must be from 1 to {classes}, the number of classes, not {top}")
    return top
