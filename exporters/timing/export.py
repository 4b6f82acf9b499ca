"""Writes a network of exact times to ONNX, and verifies it in float64."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from ...core.errors import AsnnError, ConfigError
from ...core.files import write_bytes
from ...formats.onnx import read_onnx
from ...models.layers.spiking import layer_outputs
from ..exported import Exported, finish, with_note
from ..graph.ir import Array
from ..onnx.forms import OPSET
from ..onnx.operators import check_operators
from ..onnx.runtime import OnnxSession
from ..paths import ExportPaths, discarded_on_failure, unverified_path
from ..source import BATCH, Samples
from ..verification.compare import Report, not_run
from ..verification.parity import Mismatch, Parity
from ..verification.structure import onnx_differences
from .form import build_times
from .network import TimingSource

TOLERANCE = 1e-9
"""Of a time, relative to times above 1: both sum the same products in float64."""
MEMORY = 2**28
"""Bytes of the prefix sums of a batch in one layer."""


def export_times(
    source: TimingSource,
    path: Path | str,
    *,
    samples: Samples | None,
    opset: int = OPSET,
    **others: Any,
) -> Exported:
    """Write a network of exact times to ONNX, read it back and compare it with the network.

    Args:
        source: the network.
        path: a `.onnx` file, or a folder.
        samples: to verify with; None writes without verification.
        opset: version of ONNX's operators, 18 to 25.
        others: further options of `export_onnx`, which must have their defaults.

    Raises:
        ConfigError: the network or an option has no form of exact times.
        VerificationError: the file computes something else; it keeps the name `*.unverified`.
    """
    for key, default in {"form": "sequence", "input": "image", "weights": "fp32"}.items():
        if others.get(key) not in (None, default):
            raise ConfigError(
                f"--{key} {others[key]} is not for a network of exact times",
                why="its file takes images, has no time steps, and keeps its weights in float64",
                remedy=f"leave --{key} out",
            )
    paths = ExportPaths.at(Path(path), ".onnx")
    source = source.with_graph(with_note(source.graph, samples, paths))  # type: ignore[assignment]
    model = build_times(source, opset)
    files = {"model": unverified_path(paths.file(".onnx"))}
    paths.check(files.values())
    paths.make()
    options = {"format": "onnx", "form": "sequence", "input": "image", "opset": opset}
    options |= {"weights": "fp64", "weights_sha256": source.weights_sha256}
    report = None
    with discarded_on_failure(files):
        write_bytes(files["model"], model.SerializeToString())
        if samples is not None:
            report = verify_times(source, files["model"], samples, expected=model)
        return finish(paths, files, options, report, [])


def verify_times(
    source: TimingSource, path: Path, samples: Samples, *, expected: onnx.ModelProto | None = None
) -> Report:
    """Compare an ONNX file with the network, in onnxruntime: the times of every layer.

    Args:
        source: the network.
        path: of the file.
        samples: images to compare on.
        expected: the model that the exporter writes; None compares what the file computes alone.

    Raises:
        DataError: the file is damaged or hostile.
    """
    if not len(samples):
        raise ConfigError("there are no samples to compare on", remedy="give one or more")
    model = read_onnx(path)
    check_operators([model])
    structure = None
    if expected is not None:
        structure = onnx_differences({"model": expected}, {"model": model})
    parity = Parity(source.graph, "onnxruntime", {"precision": "float64"})
    session = OnnxSession(_with_times(model, source).SerializeToString())
    spikes = dict.fromkeys(source.layers, 0.0)
    correct = 0
    for images, part in samples.batches(_batch_size(source)):
        times = _times(source, images)
        for name in spikes:
            spikes[name] += float(np.isfinite(times[name]).sum()) / len(samples)
        try:
            found = session.run({"image": images})
        except AsnnError as error:
            parity.error = str(error)
            break
        _compare(parity, times, found)
        answers = times[next(reversed(times))]
        if samples.labels is not None:
            right = (answers.argmin(1) == samples.labels[part]) & np.isfinite(answers).any(1)
            correct += int(right.sum())
    parity.seconds = session.seconds
    accuracy = {} if samples.labels is None else {"graph": correct / len(samples)}
    quiet = [name for name, number in spikes.items() if number == 0]
    return Report([parity], samples, accuracy, {}, spikes, quiet, structure)


def check_times(source: TimingSource, path: Path, samples: Samples, *, structure: bool) -> Report:
    """Compare an earlier export with the network; see `asnn.exporters.verify`."""
    expected = None
    if structure:
        read = read_onnx(path)
        opset = max((each.version for each in read.opset_import if not each.domain), default=0)
        notes = {entry.key: entry.value for entry in read.metadata_props}
        about = {**source.graph.about, "verification": notes.get("verification", "")}
        noted = source.with_graph(replace(source.graph, about=about))
        try:
            expected = build_times(noted, opset)  # type: ignore[arg-type]
        except ConfigError as error:
            return not_run(samples, [str(error)])
        differences = onnx_differences({"model": expected}, {"model": read})
        if differences:
            return not_run(samples, differences)
    return verify_times(source, path, samples, expected=expected)


def _times(source: TimingSource, images: Array) -> dict[str, Array]:
    """Return the times of the first spikes of each layer, float64 `[B, ...]`."""
    with torch.no_grad(), layer_outputs(source.network) as outputs:
        source.network(torch.from_numpy(images))
    return {name: outputs[name][0, ..., 0].numpy() for name in source.layers}


def _compare(parity: Parity, expected: dict[str, Array], found: dict[str, Array]) -> None:
    """Compare the times of a batch, layer by layer, and record the first that differs."""
    for name, times in expected.items():
        other = found[name]
        if other.shape != times.shape:
            _record(parity, name, f"has the shape {list(other.shape)}, not {list(times.shape)}")
            return
        fires = np.isfinite(times)
        silent = (np.isfinite(other) != fires).sum()
        # Gathered first: no difference of two infinite times is ever formed.
        difference = np.abs(other[fires] - times[fires])
        far = ~(difference <= TOLERANCE * np.maximum(1, times[fires]))
        if silent:
            _record(parity, name, f"{silent} neurons fire in one of them alone")
        elif far.any():
            _record(parity, name, f"times differ by up to {difference[far].max():.3g}")
    last = next(reversed(expected))
    fires = np.isfinite(expected[last]) & np.isfinite(found[last])
    difference = np.abs(found[last][fires] - expected[last][fires])
    parity.logit_difference = max([parity.logit_difference, *difference])
    parity.samples += len(expected[last])
    agree = found["logits"].argmax(1) == expected[last].argmin(1)
    parity.agreements += int(agree.sum())


def _record(parity: Parity, layer: str, text: str) -> None:
    parity.first_mismatch = parity.first_mismatch or Mismatch(layer, None, text)


def _with_times(model: onnx.ModelProto, source: TimingSource) -> onnx.ModelProto:
    """Return a model with the times of all layers as further outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    values = {name for node in copy.graph.node for name in node.output}
    copy.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None)
        for name in source.layers
        if name in values
    )
    return copy


def _batch_size(source: TimingSource) -> int:
    """Return the number of samples whose prefix sums fit into memory together."""
    most = 1
    for layer, node in zip(source.layers.values(), source.graph.nodes, strict=False):
        places = int(np.prod(node.shape([]))) // len(layer.weight)
        most = max(most, places * layer.weight.numel())
    return max(1, min(BATCH, MEMORY // (8 * 6 * most)))
