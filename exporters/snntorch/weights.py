"""Weights of a file put into a module of the user: every name and shape has to match."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError, DataError
from ...core.reading import MAX_WEIGHTS
from ...formats.errors import sanitize
from ...formats.files import read_bytes
from ...formats.safetensors import read_weights

INSIDE = ("state_dict", "model_state_dict", "model", "net", "network", "weights")  # of checkpoints
MAX_NAMES = 5  # that a message lists


def load_weights(module: nn.Module, path: Path) -> list[str]:
    """Put the `state_dict` in a file into a module.

    A checkpoint may hold it under a name such as `model_state_dict`, and all its names may begin
    with the same prefix, such as `module.` of `nn.DataParallel`.

    Args:
        module: the network.
        path: `.safetensors`, or `.pt` or `.pth` of `torch.save`, read with `weights_only=True`.

    Returns:
        What was left out to match the names, one line each.

    Raises:
        ConfigError: names or shapes are not those of the module.
        DataError: the file cannot be read, or holds more than tensors and plain values.
    """
    notes: list[str] = []
    found = _state_dict(_content(path), path, notes)
    expected: dict[str, Any] = module.state_dict()
    prefix = _prefix_of(found, expected)
    if prefix:
        notes.append(f"the names in {path} begin with {prefix!r}, which is left out")
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    _require_names(path, found, expected)
    _require_shapes(path, found, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module.load_state_dict(found)
        except (RuntimeError, AttributeError, KeyError) as error:  # of the user's own loading
            why = " ".join(str(error).split())[:300]
            raise ConfigError(
                f"the network does not accept the weights of {path}", why=why
            ) from error
    return notes


def _content(path: Path) -> Any:
    """Return what a file holds."""
    if path.suffix == ".safetensors":
        weights = read_weights(path)
        arrays = {name: weights.array(name) for name in weights.tensors}
        return {
            name: torch.from_numpy(array.copy())
            for name, array in arrays.items()
            if array is not None
        }
    content = read_bytes(path, max_size=MAX_WEIGHTS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path} holds more than tensors and plain values",
            why="objects of Python can run any code when they are loaded, so they are not opened",
            remedy="save the weights alone: torch.save(net.state_dict(), 'weights.pt')",
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # torch.load raises many types on damaged files
        why = sanitize(error) or type(error).__name__
        raise DataError(f"{path} is not a readable file of torch.save", why=why) from error


def _state_dict(content: Any, path: Path, notes: list[str]) -> dict[str, Tensor]:
    """Return the tensors by name, of the file or under a name in it."""
    if _is_state_dict(content):
        return dict(content)
    keys = [*content] if isinstance(content, Mapping) else []
    inside = [key for key in INSIDE if key in keys and _is_state_dict(content[key])]
    if len(inside) == 1:
        notes.append(f"the weights are {inside[0]!r} in {path}")
        return dict(content[inside[0]])
    named = ", ".join(sanitize(key, 40) for key in keys[:MAX_NAMES])
    raise DataError(
        f"{path} holds no weights by name",
        why=f"it is a {type(content).__name__}" + (f" of {named}" if named else ""),
        remedy="save net.state_dict()",
    )


def _is_state_dict(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) for key in content)
        and all(isinstance(value, Tensor) for value in content.values())
    )


def _prefix_of(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Return what all names begin with beyond those of the module; empty if nothing."""
    if not found or {*found} == {*expected}:
        return ""
    for name in expected:
        for other in found:
            if other.endswith(f".{name}"):
                prefix = other[: -len(name)]
                if {f"{prefix}{each}" for each in expected} == {*found}:
                    return prefix
        return ""
    return ""


def _require_names(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    if not missing and not unexpected:
        return
    lines = []
    if missing:
        lines.append(f"it lacks {_listed(missing)}")
    if unexpected:
        lines.append(f"it has {_listed(unexpected)}, which the network has not")
    raise ConfigError(
        f"the names in {path} are not those of the network",
        why="; ".join(lines),
        remedy=_remedy(missing, unexpected),
    )


def _remedy(missing: list[str], unexpected: list[str]) -> str:
    """Return the names that probably belong together."""
    for name in missing:
        same_end = [other for other in unexpected if other.endswith(f".{name}")]
        if same_end:
            prefix = same_end[0][: -len(name)]
            return (
                f"the names in the file probably begin with {sanitize(prefix, 40)!r}: save the "
                "state_dict of that part, or put the network into a module with that name"
            )
        close = get_close_matches(name, unexpected, 1)
        if close:
            other = sanitize(close[0], 60)
            return f"{sanitize(name, 60)} may be {other}: give the layers the names of the training"
    return "make the network as it was trained"


def _require_shapes(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Any]) -> None:
    wrong = [
        f"{sanitize(name, 60)} is {list(found[name].shape)}, not {list(own.shape)}"
        for name, own in expected.items()
        if isinstance(own, Tensor) and found[name].shape != own.shape
    ]
    if wrong:
        more = f" and {len(wrong) - MAX_NAMES} more" if len(wrong) > MAX_NAMES else ""
        raise ConfigError(
            f"the weights of {path} have other shapes than the network",
            why="; ".join(wrong[:MAX_NAMES]) + more,
            remedy="make the network as it was trained",
        )


def _listed(names: list[str]) -> str:
    listed = ", ".join(sanitize(name, 60) for name in names[:MAX_NAMES])
    return listed if len(names) <= MAX_NAMES else f"{listed} and {len(names) - MAX_NAMES} more"
