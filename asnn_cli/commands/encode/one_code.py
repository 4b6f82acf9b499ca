"""`asnn encode` with one code: the file, the picture and the figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...terminal import console
from .options import bound_coding, coding_options, default_steps

if TYPE_CHECKING:
    from ....coding import Coding
    from ....coding.samples import SampleSpec
    from ....measure.encoding.images import EncodedImages
    from ....measure.encoding.samples import EncodedSamples
    from ....measure.encoding.times import EncodedManyTimes
    from .input import Input, Samples
    from .options import Changes
    from .output import Output

MAX_ROWS = 20
NAMES = {"events": ("recording", "recordings"), "series": ("series", "series")}


def encode_with_one(
    name: str | None,
    source: Input,
    *,
    limit: int | None,
    index: int | None,
    steps: int | None,
    changes: Changes,
    seed: int,
    decode: bool,
    target: Output,
    plot: Path | None,
) -> dict[str, Any]:
    """Write samples in one code and draw the first, show figures, and return the JSON object.

    Args:
        name: of the code; by default that of a run, or one that takes the samples.
        source: where the samples come from.
        limit, index: encode the first of them, or one.
        steps: number of time steps T; by default 4, or those of a series.
        changes: options of the code.
        seed: of random codes.
        decode: decode the code and report the errors.
        target: where the code goes.
        plot: file of the picture, or None.

    Raises:
        ConfigError: a wrong code, option or number of steps, or `decode` without a decoder.
        DataError: the samples are missing or damaged, or packed bits cannot hold the code.
        AsnnError: a file cannot be written.
    """
    import torch

    from ....coding.base import FIRST_CHOICE
    from ....coding.spikefile import targets_by_name
    from ....measure.encoding.images import encode_images
    from ....measure.encoding.memory import batch_size, check_memory
    from ....measure.encoding.samples import encode_samples
    from ....measure.encoding.times import encode_times

    if name is not None:  # a wrong option is refused before data are read
        coding_options(name, default_steps(name) if steps is None else steps, changes)
    trained = source.coding
    if name is None and trained is not None:  # what `--set` says comes later, and wins
        name, steps = trained.name, trained.steps if steps is None else steps
        own = trained.options()
        changes = [(["coding", key], value) for key, value in own.items()] + changes
        console.note(f"the code of the run: {name}, T = {steps}")
    samples = source.samples().select(limit, index)
    spec = samples.spec
    name = name or FIRST_CHOICE[spec.kind]
    steps = default_steps(name, spec) if steps is None else steps
    options = coding_options(name, steps, changes)
    code = bound_coding(name, steps, options, spec)
    torch.manual_seed(seed)
    check_memory(code, spec, len(samples), drawn=int(plot is not None))
    batches: Any = samples.batches(batch_size(code, spec))
    options_of_all: Any = {"decode": decode, "seed": seed, "first": samples.first}
    axes = ["step", "sample", *spec.axes]
    if code.gives_times:
        encoded = encode_times(code, batches, **options_of_all)
        stored, targets, axes = encoded.times, encoded.targets, [*axes, "spike"]
    elif spec.kind == "image":
        encoded = encode_images(code, batches, len(samples), **options_of_all)
        stored, targets = encoded.steps, encoded.labels
    else:
        encoded = encode_samples(code, batches, len(samples), **options_of_all)
        stored, targets = encoded.steps, encoded.targets
    meta = {
        "coding": name,
        "steps": steps,
        "options": options,
        "analog_steps": code.analog_steps,
        "static": code.static,
        "thresholds": _threshold_table(code),
        "seed": seed,
        "source": samples.name,
        "input": spec.document(),
        "axes": axes,
        **({"gives_times": True} if code.gives_times else {}),
    }
    written = target.target(f"{source.stem}.{name}")
    if written is not None:
        target.write(written, stored, meta, targets_by_name(_array(targets)))
    if plot is not None:
        _draw(plot, code, encoded, samples)
    figures = encoded.figures()
    _show(figures, samples)
    for path in (written, plot):
        if path not in (None, "-"):
            console.note(f"wrote {path}")
    shown = str(plot) if plot else None
    return {**meta, **figures, "output": written, "plot": shown}


def _array(values: Any) -> Any:
    return None if values is None else values.numpy()


def _threshold_table(code: Any) -> list[float] | None:
    slots = getattr(code, "inner", code)
    if not hasattr(slots, "thresholds"):
        return None
    return slots.thresholds.table().tolist()


def _draw(
    plot: Path,
    code: Coding,
    encoded: EncodedImages | EncodedSamples | EncodedManyTimes,
    samples: Samples,
) -> None:
    import torch

    from ....measure.encoding.images import EncodedImages, code_of
    from ....measure.encoding.times import EncodedManyTimes
    from ....measure.figures.codes import draw_code

    if isinstance(encoded, EncodedImages):
        steps = torch.from_numpy(encoded.steps.sample(0))
        draw_code(plot, code_of(code, encoded.first[0], steps))
    elif isinstance(encoded, EncodedManyTimes):
        from ....measure.figures.spike_times import draw_times

        draw_times(plot, encoded.first)
    elif samples.spec.kind == "events":
        from ....measure.figures.recordings import draw_recording

        draw_recording(plot, {code.name: encoded.sample()})
    else:
        from ....measure.figures.series import draw_series

        draw_series(plot, encoded.sample())


def _show(figures: dict[str, Any], samples: Samples) -> None:
    if "silent" in figures:
        _show_times(figures, samples.spec)
    elif samples.spec.kind == "image":
        console.note(
            f"{figures['images']} images to {figures['shape']}, "
            f"{figures['spikes_per_image']:,.1f} spikes per image, "
            f"{figures['spikes_per_pixel']:.3f} per value"
        )
    else:
        _show_samples(figures, *NAMES[samples.spec.kind])
    if "rmse" in figures:
        error = f"RMSE {figures['rmse']:.4f}, greatest error {figures['greatest_error']:.4f}"
        psnr = figures.get("psnr_db")
        exact = "exact" if figures["greatest_error"] == 0 else ""
        quality = exact if psnr is None else f"PSNR {psnr:.2f} dB"
        console.note(f"decoded: {error}{', ' if quality else ''}{quality}")


def _show_times(figures: dict[str, Any], spec: SampleSpec) -> None:
    """Show how many spikes a code of exact times has, and when the last one is."""
    number, events, last = (figures[key] for key in ("samples", "events_per_sample", "last_spike"))
    went = "" if events is None else f"{_number(events)} events in, "
    until = "" if last is None else f", the last at {last:.4g}"
    console.note(
        f"{number:,} {spec.one if number == 1 else spec.many} to {figures['shape']}, "
        f"{'' if number == 1 else 'on average '}{went}"
        f"{_number(figures['spikes_per_sample'])} spikes out{until}; "
        f"{console.percent(figures['silent'])} of the addresses are silent"
    )


def _show_samples(figures: dict[str, Any], sample_name: str, plural: str) -> None:
    """Show what went into a code and came out of it, and for several samples that of each."""
    each, out = figures["each"], "spikes" if figures["spikes_per_sample"] is not None else "sum"
    came = _number(figures[f"{out}_per_sample"])
    came = f"{came} spikes" if out == "spikes" else f"a sum of {came}"
    events = figures["events_per_sample"]
    went = "" if events is None else f"{_number(events)} events in, "
    one = len(each) == 1
    console.note(
        f"{len(each):,} {sample_name if one else plural} to {figures['shape']}, "
        f"{'' if one else 'on average '}{went}{came} out, "
        f"{figures['nonzero']:.2%} of the values are not 0"
    )
    if one:
        return
    heads = ["number", *(["events"] if events is not None else []), out, "not 0"]
    rows = [
        [
            str(number),
            *([f"{sample['events']:,}"] if events is not None else []),
            f"{sample[out]:,.0f}" if out == "spikes" else f"{sample[out]:,.2f}",
            f"{sample['nonzero']:.2%}",
        ]
        for number, sample in enumerate(each[:MAX_ROWS])
    ]
    console.table(plural, heads, rows)
    if len(each) > MAX_ROWS:
        console.note(f"and {len(each) - MAX_ROWS:,} more: --json lists all")


def _number(value: float) -> str:
    """Return a number with a decimal only if it has one."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
