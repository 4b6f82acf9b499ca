"""Networks in a file: safetensors, whose header holds the arguments that build the network."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ..core.documents import read_json
from ..core.errors import DataError
from ..core.files import write_bytes
from ..core.reading import MAX_WEIGHTS, MIB, open_regular, read_regular
from ..records.layout import find_run, require_own_weights
from .factory import create_model
from .network import SpikingNetwork

FORMAT = 1
MAX_HEADER = 8 * MIB
MAX_NUMBER = 10**6  # a configuration may have numbers up to this, however small its file


def save_model(path: Path, model: SpikingNetwork, *, labels: list[str] | None = None) -> None:
    """Write weights and configuration to `path`, completely or not at all.

    Args:
        path: the file, usually `model.safetensors`.
        model: a network from `create_model`.
        labels: names of the classes.

    Raises:
        ConfigError: the network was not built by `create_model`.
        AsnnError: the file cannot be written.
    """
    write_bytes(path, model_bytes(model, labels=labels))


def model_bytes(model: SpikingNetwork, *, labels: list[str] | None = None) -> bytes:
    """Return the bytes that `save_model` writes."""
    header = {"format": FORMAT, "model": model.config, "labels": labels or []}
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    return save(tensors, metadata={"asnn": json.dumps(header)})


def load_model(path: Path) -> SpikingNetwork:
    """Return the network in a safetensors file that `save_model` wrote, in evaluation mode.

    Raises:
        DataError: the file is missing, damaged, of another origin, or of a newer format.
    """
    return _build(path, *_read(path)[:2])


def load_with_checksum(path: Path) -> tuple[SpikingNetwork, str]:
    """Return the network in a file as `load_model` does, and the SHA-256 of what was read.

    Raises:
        DataError: as `load_model`.
    """
    header, tensors, content = _read(path)
    return _build(path, header, tensors), hashlib.sha256(content).hexdigest()


def _build(path: Path, header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> SpikingNetwork:
    try:
        config = dict(header["model"])
        config["in_shape"] = tuple(config["in_shape"])
        name = config.pop("name")
        # Without memory first: a header can ask for more than the file holds.
        stored = sum(value.numel() for value in tensors.values())
        _require_bounded(config, max(MAX_NUMBER, stored))
        with torch.device("meta"):
            _require_same_tensors(create_model(name, **config).state_dict(), tensors)
        model = create_model(name, **config)
        model.load_state_dict(tensors)
    except (RuntimeError, KeyError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise DataError(
            f"{path} does not fit the network in its header",
            why=str(error),
            remedy="train the run again, or restore the file",
        ) from error
    damaged = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if damaged:
        raise DataError(f"{path} holds values that are not finite", why=", ".join(damaged[:5]))
    return model.eval()


def _require_bounded(value: Any, limit: int) -> None:
    """Refuse a configuration with a number above the limit."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            _require_bounded(each, limit)
    elif isinstance(value, int) and abs(value) > limit:
        raise ValueError(f"{value} in its configuration is more than the file can hold")


def _require_same_tensors(
    expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]
) -> None:
    if expected.keys() != found.keys():
        missing = sorted(expected.keys() - found.keys())
        unexpected = sorted(found.keys() - expected.keys())
        raise ValueError(f"missing: {missing[:5]}, unexpected: {unexpected[:5]}")
    for name, value in expected.items():
        if value.shape != found[name].shape:
            raise ValueError(
                f"{name} has the shape {list(found[name].shape)}, not {list(value.shape)}"
            )
        # A network that was converted, as by `.half()`, is loaded into one of float32.
        both_float = value.is_floating_point() and found[name].is_floating_point()
        if value.dtype != found[name].dtype and not both_float:
            raise ValueError(f"{name} has the type {found[name].dtype}, not {value.dtype}")


def load_run(path: Path | str | None = None) -> SpikingNetwork:
    """Return the trained network of a run, in evaluation mode.

    Args:
        path: the run's folder, `runs/latest` for the newest, or a `.safetensors` file.

    Raises:
        DataError: there is no such run, or its weights cannot be read.
    """
    if path is not None and Path(path).suffix == ".safetensors":
        return load_model(Path(path))
    return load_model(find_run(path).model)


def read_labels(path: Path) -> list[str]:
    """Return the names of the classes in the header of a model file.

    Raises:
        DataError: the file cannot be read.
    """
    with _reading(path), open_regular(path, max_size=MAX_WEIGHTS) as file:
        header = _description(path, file.read(8 + MAX_HEADER))
    labels = header.get("labels", [])
    if not isinstance(labels, list):
        raise DataError(f"{path} is damaged", why="its names of classes are not a list")
    return [str(label) for label in labels]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor], bytes]:
    """Return the description, the tensors and the content of a file."""
    with _reading(path):
        content = read_regular(path, max_size=MAX_WEIGHTS)
        require_own_weights(path, content)
        return _description(path, content), load(content), content


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise a DataError for what can go wrong in a file."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(
            f"{path} is missing", remedy="the run has no trained weights yet: train it"
        ) from error
    except KeyError as error:
        raise DataError(
            f"{path} was not written by asnn", why="its header does not describe a network"
        ) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(
            f"{path} is damaged", why=str(error), remedy="train the run again, or restore the file"
        ) from error


def _description(path: Path, content: bytes) -> dict[str, Any]:
    """Return the description of the network in the header of a file."""
    length = int.from_bytes(content[:8], "little")
    if not 0 < length <= min(len(content) - 8, MAX_HEADER):
        raise ValueError("its header is incomplete")
    metadata = read_json(content[8 : 8 + length]).get("__metadata__")
    header = read_json((metadata if isinstance(metadata, dict) else {})["asnn"])
    if not isinstance(header.get("format"), int):
        raise ValueError("its header does not describe a network")
    if header["format"] > FORMAT:
        raise DataError(
            f"{path} has format {header['format']}",
            why=f"this asnn reads formats up to {FORMAT}",
            remedy="install a newer asnn",
        )
    return header
