"""`asnn encode --compare`: one image, or one recording of events, in several codes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...terminal import console
from .options import STEPS, bound_coding, gives_times, shared_options

if TYPE_CHECKING:
    from .input import Input, Samples
    from .options import Changes

Options = dict[str, dict[str, Any]]


def compare_codes(
    listed: str,
    source: Input,
    *,
    index: int | None,
    steps: int | None,
    changes: Changes,
    seed: int,
    plot: Path | None,
) -> dict[str, Any]:
    """Draw one sample in several codes, show a table, and return the JSON object.

    Args:
        listed: names of codes, separated by commas.
        source: where the sample comes from.
        index: the number of the sample; the first by default.
        steps: number of time steps T of all codes.
        changes: options of codes; each code gets the options that it knows.
        seed: of random codes.
        plot: file of the picture; `INPUT.codes.png` for None.

    Raises:
        ConfigError: a code or an option is unknown, a code cannot have so many steps or takes
            other samples, or the samples are series.
        DataError: the sample is missing or damaged.
        AsnnError: the picture cannot be written.
    """
    from ....core.errors import ConfigError
    from ....measure.encoding.memory import check_memory

    steps = STEPS if steps is None else steps
    names = _names(listed)
    _refuse_times(names)
    options = shared_options(names, steps, changes)
    samples = source.samples()
    if samples.spec.kind == "series":
        raise ConfigError(
            "--compare does not take series",
            why="a series has its own time steps, which one code, given, takes as they are",
            remedy="draw it: asnn encode ... --coding given --plot FILE",
        )
    for name, own in options.items():  # refuses codes of other samples
        check_memory(
            bound_coding(name, steps, own, samples.spec), samples.spec, 1, drawn=len(options)
        )
    chosen = samples.select(1, None) if index is None else samples.select(None, index)
    which = "the first of " if index is None else f"number {index} of "
    title = f"{which if len(samples) > 1 else ''}{samples.name} in {steps} steps"
    plot = plot or Path(f"{source.stem}.codes.png")
    compare = _compare_images if samples.spec.kind == "image" else _compare_recordings
    found = compare(chosen, options, steps=steps, seed=seed, plot=plot, title=title)
    console.note(f"wrote {plot}")
    about = {"source": samples.name, "shape": list(samples.spec.shape), "steps": steps}
    return {**about, "seed": seed, "codes": found, "plot": str(plot)}


def _compare_images(
    samples: Samples, options: Options, *, steps: int, seed: int, plot: Path, title: str
) -> dict[str, Any]:
    from ....measure.encoding.comparison import encode_with_each
    from ....measure.figures.codes import draw_codes

    image: Any = next(iter(samples.batches()))[0][0]  # type: ignore[index]
    for name, own in options.items():
        bound_coding(name, steps, own, samples.spec)
    codes = encode_with_each(image, options, steps=steps, seed=seed, index=samples.first)
    draw_codes(plot, list(codes.values()))
    found = {
        code: {
            "options": options[code],
            "analog_steps": encoded.coding.analog_steps,
            **encoded.figures(),
        }
        for code, encoded in codes.items()
    }
    _show_images(found, title.replace("the first of", "the first image of"))
    return found


def _compare_recordings(
    samples: Samples, options: Options, *, steps: int, seed: int, plot: Path, title: str
) -> dict[str, Any]:
    from ....measure.encoding.comparison import encode_recording_with_each
    from ....measure.figures.recordings import draw_recording

    codes = {name: bound_coding(name, steps, own, samples.spec) for name, own in options.items()}
    recording: Any = next(iter(samples.batches()))[0]
    encoded = encode_recording_with_each(recording, codes, seed=seed, index=samples.first)
    draw_recording(plot, encoded)
    found = {
        name: {
            "options": options[name],
            "analog_steps": one.coding.analog_steps,
            "step_shape": list(one.steps.shape[1:]),
            **one.figures(),
        }
        for name, one in encoded.items()
    }
    _show_recordings(found, title.replace("the first of", "the first recording of"))
    return found


def _show_recordings(found: dict[str, Any], title: str) -> None:
    rows = []
    for name, figures in found.items():
        spikes = figures["spikes"]
        rows.append(
            [
                name,
                "x".join(map(str, figures["step_shape"])),
                f"{figures['events']:,}",
                console.UNKNOWN if spikes is None else f"{spikes:,.0f}",
                f"{figures['sum']:,.2f}",
                f"{figures['nonzero']:.2%}",
            ]
        )
    heads = ["code", "step", "events", "spikes", "sum", "not 0"]
    console.table(title, heads, rows)


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


def _refuse_times(names: list[str]) -> None:
    from ....core.errors import ConfigError

    of_times = [name for name in names if gives_times(name)]
    if of_times:
        raise ConfigError(
            f"--compare does not take {', '.join(of_times)}",
            why="a code of exact times has no steps beside those of other codes",
            remedy=f"draw it alone: asnn encode ... --coding {of_times[0]} --plot FILE",
        )


def _show_images(found: dict[str, Any], title: str) -> None:
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
