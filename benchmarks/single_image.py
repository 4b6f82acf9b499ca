"""Latency of one image: eager, fused, and in onnxruntime."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor

from ..core.errors import ConfigError
from ..datasets import Batches
from ..datasets.base import Split
from ..datasets.splits import head
from ..exporters import source_of
from ..exporters.graph.ir import Array
from ..exporters.onnx.forms import OPSET, build_models
from ..exporters.onnx.runtime import OnnxSession
from ..exporters.source import ExportSource
from ..exporters.timing.form import build_times
from ..exporters.timing.network import TimingSource
from ..measure.latency import Implementation, differing, time_each
from ..models.layers.spiking import use_kernels, used_kernels
from ..models.network import SpikingNetwork

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
    """Time one image at batch 1 on the CPU, with the number of threads of torch.

    - `eager`: the network as trained, layer by layer, with the reference kernels.
    - `fused`: `predict`, norms folded into the weights, with the fused kernels; with windows also
      up to the end of each, `fused, N steps`.
    - `onnxruntime`: the network exported to ONNX, with the code in the file where possible.

    Args:
        model: the network, which is not changed.
        split: its first images are timed.
        full_scale: of their values.
        images: how many.
        rounds: interleaved rounds, see `measure.timing`.

    Returns:
        `ways`: by name the `milliseconds` per image (median over rounds), their `quartiles`, the
        `speedup` over eager (median of the ratios within rounds), the number of `differing`
        predictions, and a `note` or None; or only a `reason` if the network cannot be computed in
        this way. Further `threads`, `images`, `rounds` made, and `quiet`, the number of rounds
        without load by other processes (None if the system does not report it).
    """
    few = head(split, images)
    x = next(iter(Batches(few, batch_size=len(few), full_scale=full_scale)))[0]
    eager = copy.deepcopy(model).cpu().eval()
    fused = copy.deepcopy(eager)
    use_kernels(eager, "reference")
    use_kernels(fused, "auto")
    ways: dict[str, Implementation] = {
        EAGER: torch.no_grad()(eager.mean_logits),
        FUSED: fused.predict,
    }
    early = {f"{FUSED}, {steps} steps": steps for steps in model.output_steps[:-1]}
    if model.steps_per_output > 1:  # each window has an answer
        ways |= {name: partial(fused.predict, steps=steps) for name, steps in early.items()}
    notes: dict[str, str | None] = {}
    unavailable: dict[str, dict[str, str]] = {}
    try:
        ways[ONNX], notes[ONNX] = _in_onnxruntime(eager, threads=torch.get_num_threads())
    except ConfigError as error:
        unavailable[ONNX] = {"reason": str(error)}
    differ = differing(ways, x, base=EAGER)
    used = used_kernels(fused.frozen())
    notes[FUSED] = None if used == "fused" else f"by {used or 'reference'} kernels"
    found = time_each(ways, x, rounds=rounds)
    timed: dict[str, Any] = {}
    for name in ways:
        seconds = found.spread(name)
        timed[name] = {
            "milliseconds": 1000 * seconds.median,
            "quartiles": [1000 * seconds.low, 1000 * seconds.high],
            "speedup": found.ratio(EAGER, name).median,
            "differing": differ[name],
            "note": notes.get(name),
        }
    return {
        "ways": timed | unavailable,
        "device": "cpu",
        "steps": model.coding.steps,
        "threads": torch.get_num_threads(),
        "images": len(x),
        "rounds": found.made,
        "quiet": found.quiet,
    }


def _models(source: ExportSource) -> dict[str, ModelProto]:
    """Return the files of a network.

    Raises:
        ConfigError: the code cannot be exported.
    """
    if isinstance(source, TimingSource):
        return {"model": build_times(source, OPSET)}
    return build_models(source.graph, source.coding)


def _in_onnxruntime(model: SpikingNetwork, *, threads: int) -> tuple[Implementation, str | None]:
    """Return the network in onnxruntime, and a note if its code is computed by torch.

    Raises:
        ConfigError: a layer cannot be exported to ONNX.
    """
    source, note = source_of(model, noise=True), None
    try:
        models = _models(source)
    except ConfigError as error:  # the code cannot be exported; the network without it can
        models = build_models(source.graph, source.coding, input="spikes")
        note = f"torch computes the code, and its time is included ({error})"
    session = OnnxSession(models["model"].SerializeToString(), threads=threads)
    if source.graph.noise:
        drawn = "numpy draws the random numbers, and its time is included"
        note = drawn if note is None else f"{note}; {drawn}"
    has_code, rng = "image" in session.inputs, np.random.default_rng(0)

    def run(image: Tensor) -> Array:
        inputs = {"image": image} if has_code else {"steps": model.coding.encode(image)}
        noise = {
            name: rng.random((source.graph.steps, len(image), *each.shape), np.float32)
            for name, each in source.graph.noise.items()
        }
        return session.run({**{name: x.numpy() for name, x in inputs.items()}, **noise})["logits"]

    return run, note
