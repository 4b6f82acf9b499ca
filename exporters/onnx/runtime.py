"""Runs ONNX files in onnxruntime."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ...core.errors import AsnnError, DataError
from ..graph.ir import Array

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


class OnnxSession:
    """A model in onnxruntime.

    Args:
        model: path or content of a model.
        provider: preferred; onnxruntime replaces a missing one without an error, so the attribute
            `provider` is the one in use.
        threads: of one operator; None for onnxruntime's default.

    Raises:
        DataError: onnxruntime does not accept the model.
    """

    def __init__(
        self, model: Path | bytes, provider: str = CPU, threads: int | None = None
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # its errors are raised; its log would print names raw
        if threads is not None:
            options.intra_op_num_threads = threads
        content = model if isinstance(model, bytes) else str(model)
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=[provider, CPU] if provider != CPU else [CPU]
            )
        except Exception as error:  # its errors have no common public class
            raise DataError("onnxruntime does not accept the model", why=_line(error)) from error
        self.provider = self._session.get_providers()[0]
        self.inputs = [each.name for each in self._session.get_inputs()]
        self.outputs = [each.name for each in self._session.get_outputs()]
        self.seconds = 0.0

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Return all outputs by name.

        Raises:
            AsnnError: onnxruntime fails.
        """
        started = time.perf_counter()
        try:
            found: list[Any] = list(self._session.run(None, inputs))
        except Exception as error:
            raise AsnnError("onnxruntime failed", why=_line(error)) from error
        self.seconds += time.perf_counter() - started
        return dict(zip(self.outputs, found, strict=True))


def with_outputs(model: onnx.ModelProto, names: Iterable[str]) -> bytes:
    """Return a model with intermediate values as further outputs, those of the names it has."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    values = {name for node in copy.graph.node for name in node.output}
    outputs = {output.name for output in copy.graph.output}
    added = [name for name in names if name in values and name not in outputs]
    stated = {each.name: each for each in model.graph.value_info}
    del copy.graph.value_info[:]
    copy.graph.value_info.extend(each for name, each in stated.items() if name not in added)
    copy.graph.output.extend(
        stated.get(name) or onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in added
    )
    return copy.SerializeToString()


def providers() -> list[str]:
    """Return the providers to verify on: the CPU, and CUDA if torch finds a GPU."""
    import onnxruntime
    import torch

    found = [CPU]
    if CUDA in onnxruntime.get_available_providers() and torch.cuda.is_available():
        found.append(CUDA)
    return found


def run_stream(
    init: OnnxSession,
    step: OnnxSession,
    code: dict[str, Array],
    steps: int,
    decided: Callable[[Array], Array] | None = None,
) -> Any:
    """Run the streaming form and return the values of every step by name, `[T, B, ...]`.

    This is the loop of docs/export.md.

    Args:
        init: the session of `init`.
        step: the session of `step`.
        code: `{"image": ...}`, or `{"steps": [T, B, ...]}` for models whose input is spikes; with
            `noise.LAYER` `[T, B, ...]` for each layer that draws.
        steps: the number of steps to run.
        decided: from the logits so far `[t, B, K]`, which samples are decided, `[B]`: no step is
            run after all are.
    """
    found: dict[str, list[Array]] = {}
    for out in _steps_of(init, step, code, steps):
        for name, values in out.items():
            found.setdefault(name, []).append(values)
        if decided is not None and np.all(decided(np.stack(found["logits"]))):
            break
    return {name: np.stack(parts) for name, parts in found.items()}


def _steps_of(
    init: OnnxSession, step: OnnxSession, code: dict[str, Array], steps: int
) -> Iterator[dict[str, Array]]:
    """Yield the outputs of each step but its states, by name; see `run_stream`."""
    if "image" in init.inputs:
        state = init.run({"image": code["image"]})
        frames = state.pop("steps")
    else:
        frames = code["steps"]
        state = init.run({"x": frames[0]})
    for t in range(steps):
        names = [name for name in step.inputs if name not in ("t", "x")]
        given = {name: code[name][t] if name in code else state[name] for name in names}
        out = step.run({"t": np.array(t, np.int64), "x": frames[t], **given})
        for name in [name for name in out if name.endswith("_after")]:
            state[name.removesuffix("_after")] = out.pop(name)
        yield out


def run_windows(
    init: OnnxSession,
    step: OnnxSession,
    head: OnnxSession,
    code: dict[str, Array],
    steps: int,
    every: int,
    decided: Callable[[Array], Array] | None = None,
) -> Any:
    """Run the streaming form of a network with an accumulator, and return the values of every step,
    and of every window: its `sums`, and the `logits` of the head.

    Args:
        init, step, head: the sessions.
        code: as of `run_stream`.
        steps: the number of steps to run.
        every: the steps of a window.
        decided: from the logits so far `[w, B, K]`, which samples are decided, `[B]`: no step is
            run after all are.
    """
    found: dict[str, list[Array]] = {}
    sums: Array | None = None
    for t, out in enumerate(_steps_of(init, step, code, steps)):
        spikes = out["spikes_out"]
        sums = spikes if sums is None else sums + spikes
        ends = (t + 1) % every == 0
        if ends:
            out |= head.run({"t": np.array(t // every, np.int64), "sums": sums}) | {"sums": sums}
            sums = None
        for name, values in out.items():
            found.setdefault(name, []).append(values)
        if ends and decided is not None and np.all(decided(np.stack(found["logits"]))):
            break
    return {name: np.stack(parts) for name, parts in found.items()}


def run_parts(
    backbone: OnnxSession,
    head: OnnxSession,
    code: dict[str, Array],
    decided: Callable[[Array], Array] | None = None,
) -> Any:
    """Run both parts of a network with an accumulator, and return their values by name: `sums` of
    all windows `[W, B, ...]`, `logits` of each `[w, B, K]`.

    This is the loop of docs/hybrid.md.

    Args:
        backbone, head: their sessions.
        code: `{"image": ...}`, or `{"steps": [T, B, ...]}` for a backbone whose input is spikes.
        decided: from the logits so far `[w, B, K]`, which samples are decided, `[B]`: the head does
            not run after all are.
    """
    values = backbone.run({name: code[name] for name in backbone.inputs})
    found: dict[str, list[Array]] = {}
    for t, sums in enumerate(values["sums"]):
        out = head.run({"t": np.array(t, np.int64), "sums": sums})
        for name, value in out.items():
            found.setdefault(name, []).append(value)
        if decided is not None and np.all(decided(np.stack(found["logits"]))):
            break
    return values | {name: np.stack(parts) for name, parts in found.items()}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
