"""The formats of exports, and the comparison of an earlier export with a network."""

from __future__ import annotations

import json
from pathlib import Path

from ..core.registry import Registry
from .paths import is_nir
from .runs import NOISES, Noise
from .source import ExportSource, Samples
from .verification.compare import Report

# An exporter from another package has the same signature: a source, a path and `samples`.
exporter_registry = Registry(
    "exporters",
    {"onnx": "exporters.onnx.export:export_onnx", "nir": "exporters.nir.export:export_nir"},
)


def verify(
    source: ExportSource,
    path: Path | str,
    samples: Samples,
    *,
    structure: bool = True,
    dt: float | None = None,
    semantics: str | None = None,
) -> Report:
    """Compare an earlier export, or a file of another tool, with a network.

    Args:
        source: the network.
        path: an `.onnx` or `.nir` file; of a stream that asnn wrote, either of its two files.
        samples: to compare on.
        structure: first compare nodes, weights and metadata with what the exporter writes now; a
            file that differs is not run. False runs any file of known operators, such as one that
            another tool has changed: it may take any time and memory.
        dt: length of a step in seconds, of a NIR file of another tool that does not state it.
        semantics: of such a file: `nir`, or the simulator that wrote it, as `asnn import` takes it;
            None for what its metadata name.

    Raises:
        DataError: the file is damaged or hostile, its metadata do not state its form, or its
            inputs and outputs do not match those of the network.
    """
    path = Path(path)
    about = _metadata(path)
    # The nodes of an imported network are a NIR file like any other for the network of a module.
    given = about.get("form") == "given" and source.imported is None
    if "asnn" not in about or given:
        from .others.check import check_other

        return check_other(source, path, samples, dt=dt, semantics=semantics)
    if is_nir(path):
        from .nir.export import check_nir

        return check_nir(source, path, samples, structure=structure)
    from .onnx.export import check_onnx

    return check_onnx(source, path, samples, structure=structure)


def is_export(path: Path) -> bool:
    """Return whether the metadata of a file are those of an export of asnn.

    Raises:
        DataError: the file is damaged or hostile.
    """
    return "asnn" in _metadata(path)


def noise_of_file(path: Path) -> Noise:
    """Return which noise of its network an earlier export has, as of `source_of_run`.

    Raises:
        DataError: the file is damaged or hostile.
    """
    name = _metadata(path).get("noise", "on")
    return name if name in NOISES else "on"  # type: ignore[return-value]


def has_boxes(path: Path) -> bool:
    """Return whether an earlier export has boxes as an output.

    Raises:
        DataError: the file is damaged or hostile.
    """
    return "detections" in _metadata(path)


def dt_of_file(path: Path) -> float | None:
    """Return the step of an earlier export of many exact times, as of `source_of_run`; None of
    other files.

    Raises:
        DataError: the file is damaged or hostile.
    """
    try:
        found = json.loads(_metadata(path)["network"])["step_length"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, float) else None


def _metadata(path: Path) -> dict[str, str]:
    if is_nir(path):
        from ..formats.nir import read_nir

        return {
            key: each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each)
            for key, each in read_nir(path).metadata.items()
        }
    from ..formats.onnx import read_onnx

    return {entry.key: entry.value for entry in read_onnx(path).metadata_props}
