"""`asnn encode --compare`: one image in several codes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...terminal import console

if TYPE_CHECKING:
    from .input import Input
    from .options import Changes


def compare_codes(
    listed: str, source: Input, *, steps: int, changes: Changes, seed: int, plot: Path | None
) -> dict[str, Any]:
    """Draw the first image in several codes, show a table, and return the JSON object.

    Args:
        listed: names of codes, separated by commas.
        source: where the image comes from.
        steps: number of time steps T of all codes.
        changes: options of codes; each code gets the options that it knows.
        seed: of random codes.
        plot: file of the picture; `INPUT.codes.png` for None.

    Raises:
        ConfigError: a code or an option is unknown, or a code cannot have so many steps.
        DataError: the image is missing or damaged.
        AsnnError: the picture cannot be written.
    """
    from ....measure.code_comparison import encode_with_each
    from ....measure.figures.codes import draw_codes
    from .options import shared_options

    options = shared_options(_names(listed), steps, changes)
    batches, name = source.batches(limit=2)
    image, *others = next(iter(batches))[0]
    codes = encode_with_each(image, options, steps=steps, seed=seed)
    plot = plot or Path(f"{source.stem}.codes.png")
    draw_codes(plot, list(codes.values()))
    found = {
        code: {
            "options": options[code],
            "analog_steps": encoded.coding.analog_steps,
            **encoded.figures(),
        }
        for code, encoded in codes.items()
    }
    which = "the first image of " if others else ""
    _show(found, f"{which}{name} in {steps} steps")
    console.note(f"wrote {plot}")
    about = {"source": name, "shape": list(image.shape), "steps": steps, "seed": seed}
    return {**about, "codes": found, "plot": str(plot)}


def _names(listed: str) -> list[str]:
    from ....core.errors import ConfigError

    names = [name for each in listed.split(",") if (name := each.strip())]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        raise ConfigError(
            f"--compare names {', '.join(twice)} twice" if twice else "--compare names no code",
            remedy="for example: --compare direct,temporal,hybrid",
        )
    return names


def _show(found: dict[str, Any], title: str) -> None:
    rows = []
    for name, figures in found.items():
        first, rmse, psnr = (figures[key] for key in ("first_spike", "rmse", "psnr_db"))
        rows.append(
            [
                name,
                f"{figures['spikes_per_pixel']:.3f}",
                console.UNKNOWN if first is None else f"{first:.2f}",
                console.UNKNOWN if rmse is None else f"{rmse:.4f}",
                console.UNKNOWN if psnr is None else f"{psnr:.2f}",
                {True: "yes", False: "no", None: console.UNKNOWN}[figures["exact"]],
            ]
        )
    heads = ["code", "spikes/value", "first spike", "RMSE", "PSNR, dB", "exact"]
    console.table(title, heads, rows)
