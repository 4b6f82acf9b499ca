"""`asnn find-lr`: suggest a learning rate by a range test."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..terminal import completion, console, options

ROWS = 12  # of the table


def find_lr(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE|FILE.toml|DATA",
            help="What `asnn train` would train.",
            show_default="digits",
            autocompletion=completion.recipes,
        ),
    ] = None,
    changes: options.RecipeChanges = None,
    steps: Annotated[
        int, typer.Option("--steps", help="Optimization steps, in which the rate rises.")
    ] = 100,
    lowest: Annotated[float, typer.Option("--from", help="Learning rate of the first.")] = 1e-6,
    highest: Annotated[float, typer.Option("--to", help="Learning rate of the last.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Same as --set train.seed=N.")] = None,
    device: options.RecipeDevice = None,
    data_dir: options.RecipeDataDir = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the losses: .png, .svg or .pdf."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Suggest a learning rate: train for some steps while it rises, and look at the loss.

    The suggestion, a tenth of the rate of the least smoothed loss, is printed as train.lr=RATE.
    No run is written.

    Examples:

    asnn find-lr

    asnn find-lr my.toml --set train.batch_size=128 --plot rates.png
    """
    from ...core.errors import AsnnError
    from ...core.packages import require_package
    from ...learning import parse_override, prepare
    from ...learning.start.range_test import RULE, range_test
    from ...measure.figures.files import figure_format
    from ...measure.figures.range_test import draw_range_test
    from ...records.layout import RUNS, Run
    from .train import new_recipe

    if plot is not None:
        require_package("matplotlib", "a picture", otherwise="leave --plot out")
        figure_format(plot)  # now, not after the test
    flags = {
        "train.seed": seed,
        "train.device": device,
        "data.dir": str(data_dir) if data_dir else None,
    }
    overrides = [parse_override(text) for text in changes or []]
    overrides += [(key.split("."), value) for key, value in flags.items() if value is not None]
    checked = new_recipe(recipe, overrides)
    training = prepare(checked, Run(RUNS))
    console.note(
        f"{checked.name}: {steps} steps with learning rates from {lowest:g} to {highest:g}, "
        f"on {training.device}"
    )
    found = range_test(training, lowest=lowest, highest=highest, steps=steps)
    rate = None if found.suggested is None else float(f"{found.suggested:.2g}")
    if plot is not None:
        title = f"{checked.name}: learning rate range test"
        draw_range_test(plot, found.rates, found.losses, found.smoothed, rate, title)
        console.note(f"drawn: {plot}")
    if as_json:
        document = {**asdict(found), "suggested": rate, "rule": RULE}
        console.print_json({"recipe": checked.name, "now": checked.train.lr, **document})
    else:
        every = max(-(-len(found.rates) // ROWS), 1)
        rows = [
            [f"{r:.2g}", f"{loss:.4f}", f"{mean:.4f}"]
            for r, loss, mean in zip(found.rates, found.losses, found.smoothed, strict=True)
        ][::every]
        console.table("loss by learning rate", ["learning rate", "loss", "smoothed"], rows)
    if rate is None:
        raise AsnnError(
            "the test suggests no learning rate",
            why=found.reason,
            remedy="lower --from, or raise --steps",
        )
    if not as_json:
        if len(found.rates) < steps:
            console.note(f"ended after {len(found.rates)} steps: the loss has diverged")
        console.note(f"suggested, {RULE}: {rate:g} (the recipe has {checked.train.lr:g})")
        console.emit(f"train.lr={rate:g}\n")
