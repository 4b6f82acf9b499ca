"""A network of somebody else, and samples for it: what `asnn export --from` reads."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXAMPLE = "write it as MODULE:FUNCTION, such as nets:make for make() in nets.py"


def load_module(text: str) -> tuple[Any, tuple[int, ...] | None]:
    """Return the network that a function gives, and its input shape if it gives one.

    What the code prints goes to stderr.

    Args:
        text: MODULE:FUNCTION, found from the current directory.

    Raises:
        ConfigError: there is no such function, it fails, or it gives something else.
    """
    from torch import nn

    from ....core.errors import ConfigError

    module_name, colon, name = text.partition(":")
    if not (colon and name and module_name.replace(".", "").isidentifier()):
        raise ConfigError(f"--from {text!r} names no function", remedy=EXAMPLE)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    with contextlib.redirect_stdout(sys.stderr):
        module = _guarded(
            f"could not import {module_name!r}", lambda: importlib.import_module(module_name)
        )
        make: Any = getattr(module, name, None)
        if make is None:
            names = sorted(key for key, value in vars(module).items() if callable(value))
            raise ConfigError(
                f"{module_name!r} has no function {name!r}",
                why=f"it has: {', '.join(names[:12]) or 'none'}",
            )
        if not isinstance(make, nn.Module):
            if not callable(make):
                raise ConfigError(f"{text} is no function but {type(make).__name__}")
            make = _guarded(f"{text} failed", make)
    shape = None
    if isinstance(make, tuple) and len(make) == 2:
        make, given = make
        shape = _shape_of(text, given)
    if not isinstance(make, nn.Module):
        raise ConfigError(
            f"{text} gives {type(make).__name__}, not a torch module",
            remedy="return the network, or (network, in_shape)",
        )
    return make, shape


def _guarded(what: str, do: Callable[[], Any]) -> Any:
    """Run somebody else's code; whatever it raises is said in one line."""
    from ....core.errors import ConfigError

    try:
        return do()
    except (Exception, SystemExit) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None and not isinstance(error, ImportError):
            why += f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"
        remedy = ""
        if isinstance(error, ModuleNotFoundError):
            remedy = f"call asnn in the folder that holds it, or install it; {EXAMPLE}"
        raise ConfigError(what, why=why, remedy=remedy) from error


def _shape_of(text: str, given: Any) -> tuple[int, ...]:
    from ....core.errors import ConfigError

    if isinstance(given, int):
        given = (given,)
    sizes = tuple(given) if isinstance(given, tuple | list) else ()
    if len(sizes) not in (1, 3) or not all(type(size) is int and size > 0 for size in sizes):
        raise ConfigError(
            f"{text} gives the shape {given!r}", remedy="give (C, H, W) or (F,), without the batch"
        )
    return sizes


def parse_shape(text: str) -> tuple[int, ...]:
    """Return a shape such as 1x28x28 or 784.

    Raises:
        ConfigError: it is none.
    """
    from ....core.errors import ConfigError

    sizes = text.lower().split("x")
    if len(sizes) not in (1, 3) or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise ConfigError(f"--in-shape takes CxHxW or F, such as 1x28x28 or 784, not {text!r}")
    return tuple(int(size) for size in sizes)


def load_subject(text: str, in_shape: str | None, steps: int | None) -> Any:
    """Return the network behind --from as a subject of exports.

    Raises:
        ConfigError: it cannot be found or exported, or its shape is missing.
    """
    from ....core.errors import ConfigError
    from ....exporters.snntorch.module import source_of_module

    asked = None if in_shape is None else parse_shape(in_shape)
    module, given = load_module(text)
    shape = asked or given
    if shape is None:
        raise ConfigError(
            "the shape of the input is missing",
            remedy="say --in-shape CxHxW (or F), or return (network, in_shape)",
        )
    if given is not None and shape != given:
        raise ConfigError(
            f"--in-shape {in_shape} is not the shape that {text} gives", why=f"it gives {given}"
        )
    with contextlib.redirect_stdout(sys.stderr):
        return source_of_module(module, in_shape=shape, steps=steps)


def load_samples(path: Path, shape: tuple[int, ...], number: int) -> Any:
    """Return the first samples of a file: `.npy`, or `.npz` with `images` and maybe `labels`.

    Raises:
        DataError: the file cannot be read, or its images are not such images.
    """
    import zipfile
    import zlib

    import numpy as np

    from ....core.errors import DataError
    from ....exporters import Samples
    from ....formats.arrays import read_npy, read_npz

    bad = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
    try:
        if zipfile.is_zipfile(path):
            arrays = read_npz(path)
        else:
            arrays = {"images": read_npy(path.read_bytes())}
    except bad as error:
        why = " ".join(str(error).split())[:300]
        raise DataError(f"{path} could not be read as .npz or .npy", why=why) from error
    if "images" not in arrays:
        raise DataError(
            f"{path} has no array 'images'",
            why=f"found: {', '.join(arrays) or 'none'}",
            remedy="save it with np.savez(path, images=..., labels=...)",
        )
    images, labels = arrays["images"], arrays.get("labels")
    if images.dtype.kind != "f":
        raise DataError(
            f"{path} has images of type {images.dtype}",
            why="a network is given floats, scaled as in its training",
            remedy="save them as float32",
        )
    if images.shape[1:] != shape or not len(images):
        raise DataError(
            f"{path} has images of the shape {list(images.shape)}",
            why=f"the network takes [N, {', '.join(map(str, shape))}]",
        )
    if labels is not None and (labels.shape != images.shape[:1] or labels.dtype.kind not in "iu"):
        raise DataError(f"{path} has labels that are not one integer an image")
    images = images[:number].astype(np.float32)
    if not np.isfinite(images).all():
        raise DataError(f"{path} has images with values that are not finite")
    name = f"{len(images)} samples of {path.name}"
    return Samples(images, None if labels is None else labels[:number].astype(np.int64), name)
