"""`asnn eval --latency`: what one image costs in time, computed in three ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...terminal import console

if TYPE_CHECKING:
    from ....datasets.base import Split
    from ....measure.latency import Way
    from ....models.network import SpikingNetwork

IMAGES = 16
ROUNDS = 5
EAGER, FUSED, ONNX = "eager", "fused", "onnxruntime"


def latency(
    model: SpikingNetwork,
    split: Split,
    *,
    full_scale: float,
    images: int = IMAGES,
    rounds: int = ROUNDS,
) -> dict[str, Any]:
    """Time one image at batch 1 on the processor, as many threads as torch uses.

    - `eager`: the network as it was trained, layer by layer, by the reference kernels.
    - `fused`: `predict`, norms folded into the weights, by the fused kernels.
    - `onnxruntime`: the network exported to ONNX, with the code inside where ONNX can say it.

    Args:
        model: the network, which is left as it is.
        split: its first images are timed.
        full_scale: of their values.
        images: how many.
        rounds: interleaved rounds, see `measure.timing`.

    Returns:
        `ways`: by name `milliseconds` an image (median over rounds), their `quartiles`, the
        `speedup` over eager (median of the ratios within rounds), the number of `differing`
        answers, and a `note` or None; or a `reason` alone where the way cannot be gone. Beside
        them `threads`, `images`, `rounds` as they were made, and how many of these nobody
        disturbed, `quiet` (None where the system does not tell).
    """
    import copy

    import torch

    from ....core.errors import ConfigError
    from ....datasets import Batches
    from ....datasets.splits import head
    from ....measure.latency import differing, time_each
    from ....models.layers.spiking import use_kernels, used_kernels

    few = head(split, images)
    x = next(iter(Batches(few, batch_size=len(few), full_scale=full_scale)))[0]
    eager = copy.deepcopy(model).cpu().eval()
    fused = copy.deepcopy(eager)
    use_kernels(eager, "reference")
    use_kernels(fused, "auto")
    ways: dict[str, Way] = {EAGER: torch.no_grad()(eager.mean_logits), FUSED: fused.predict}
    notes: dict[str, str | None] = {}
    refused: dict[str, dict[str, str]] = {}
    try:
        ways[ONNX], notes[ONNX] = _in_onnxruntime(eager, threads=torch.get_num_threads())
    except ConfigError as error:
        refused[ONNX] = {"reason": str(error)}
    differ = differing(ways, x, base=EAGER)
    used = used_kernels(fused.frozen())
    notes[FUSED] = None if used == "fused" else f"by {used or 'reference'} kernels"
    found = time_each(ways, x, rounds=rounds)
    told: dict[str, Any] = {}
    for name in ways:
        took = found.spread(name)
        told[name] = {
            "milliseconds": 1000 * took.median,
            "quartiles": [1000 * took.low, 1000 * took.high],
            "speedup": found.ratio(EAGER, name).median,
            "differing": differ[name],
            "note": notes.get(name),
        }
    return {
        "ways": told | refused,
        "device": "cpu",
        "steps": model.coding.steps,
        "threads": torch.get_num_threads(),
        "images": len(x),
        "rounds": found.made,
        "quiet": found.quiet,
    }


def show(found: dict[str, Any]) -> None:
    """Show what `latency` returned as a table."""
    rows, notes = [], []
    for name, way in found["ways"].items():
        if "reason" in way:
            rows.append([name, *[console.UNKNOWN] * 4])
            notes.append(f"{name} is not timed: {way['reason']}")
            continue
        low, high = way["quartiles"]
        rows.append(
            [
                name,
                f"{way['milliseconds']:.3f}",
                f"{low:.3f} to {high:.3f}",
                f"{way['speedup']:.2f}",
                str(way["differing"]),
            ]
        )
        if way["note"]:
            notes.append(f"{name}: {way['note']}")
    threads = f"{found['threads']} thread{'s' if found['threads'] > 1 else ''}"
    console.table(
        f"time per image at batch 1: {found['images']} images, {threads}",
        ["", "ms", "quartiles", "speed-up", "other answers"],
        rows,
    )
    for note in notes:
        console.note(note)
    if found["quiet"] is not None and found["quiet"] < found["rounds"]:
        console.note(f"{found['quiet']} of {found['rounds']} rounds were undisturbed")


def _in_onnxruntime(model: SpikingNetwork, *, threads: int) -> tuple[Way, str | None]:
    """Return the network in onnxruntime, and what is to be known about it.

    Raises:
        ConfigError: ONNX cannot say what a layer does.
    """
    from ....core.errors import ConfigError
    from ....exporters import source_of
    from ....exporters.onnx.forms import build_models
    from ....exporters.onnx.runtime import OnnxSession

    subject = source_of(model)
    note = None
    try:
        models = build_models(subject.graph, subject.coding)
    except ConfigError as error:  # a code that ONNX cannot say; its steps it can take
        models = build_models(subject.graph, subject.coding, input="spikes")
        note = f"torch makes the code, and its time counts ({error})"
    session = OnnxSession(models["model"].SerializeToString(), threads=threads)
    if note is None:
        return lambda image: session.run({"image": image.numpy()})["logits"], None
    coding = model.coding
    return lambda image: session.run({"steps": coding.encode(image).numpy()})["logits"], note
