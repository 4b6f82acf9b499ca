"""A network that a function of the user returns: `MODULE:FUNCTION`."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from ...core.errors import ConfigError
from ..source import ExportSource
from .module import source_of_module
from .weights import load_weights

EXAMPLE = "write it as MODULE:FUNCTION, such as nets:make for make() in nets.py, or nets.py:make"


def name_of_function(text: str) -> str:
    """Return the name of the folder for exports of MODULE:FUNCTION or FILE.py:FUNCTION."""
    module_name, _, name = text.rpartition(":")
    if module_name.endswith(".py"):
        module_name = Path(module_name).stem
    return f"{module_name}.{name}"


def load_module(text: str) -> tuple[nn.Module, tuple[int, ...] | None]:
    """Return the network that a function returns, and its input shape if it returns one.

    What the function prints goes to stderr.

    Args:
        text: MODULE:FUNCTION; the module is imported from the current directory. Or
            FILE.py:FUNCTION; what the file imports is looked up in its folder too.

    Raises:
        ConfigError: there is no such function, it fails, or it returns something else.
    """
    module_name, colon, name = text.rpartition(":")
    file = Path(module_name) if module_name.endswith(".py") else None
    named = file is not None or module_name.replace(".", "").isidentifier()
    if not (colon and name.isidentifier() and named):
        raise ConfigError(f"--from {text!r} names no function", remedy=EXAMPLE)
    if file is not None and not file.is_file():
        raise ConfigError(f"--from {text!r}: there is no file {file}", remedy=EXAMPLE)
    folder = str(Path.cwd() if file is None else file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    with contextlib.redirect_stdout(sys.stderr):
        module = _call(
            f"could not import {module_name!r}",
            lambda: importlib.import_module(module_name) if file is None else _module_of(file),
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
                raise ConfigError(f"{text} is not a function but {type(make).__name__}")
            make = _call(f"{text} failed", make)
    shape = None
    if isinstance(make, tuple) and len(make) == 2:
        make, returned = make
        shape = _shape_of(text, returned)
    if not isinstance(make, nn.Module):
        raise ConfigError(
            f"{text} returns {type(make).__name__}, not a torch module",
            remedy="return the network, or (network, in_shape)",
        )
    return make, shape


def _module_of(file: Path) -> ModuleType:
    """Run a file and return its module; its name takes the place of no other module."""
    spec = importlib.util.spec_from_file_location(f"asnn_from_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _call(what: str, function: Callable[[], Any]) -> Any:
    """Call code of the user; an error of any kind becomes a ConfigError of one line."""
    try:
        return function()
    except (Exception, SystemExit) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None and not isinstance(error, ImportError):
            why += f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"
        remedy = ""
        if isinstance(error, ModuleNotFoundError):
            remedy = f"run asnn in the folder that contains it, or install it; {EXAMPLE}"
        raise ConfigError(what, why=why, remedy=remedy) from error


def _shape_of(text: str, returned: Any) -> tuple[int, ...]:
    if isinstance(returned, int):
        returned = (returned,)
    sizes = tuple(returned) if isinstance(returned, tuple | list) else ()
    if len(sizes) not in (1, 2, 3) or not all(type(size) is int and size > 0 for size in sizes):
        raise ConfigError(
            f"{text} returns the shape {returned!r}",
            remedy="give (C, H, W), (C, L) or (F,), without the batch",
        )
    return sizes


def source_of_function(
    text: str,
    *,
    in_shape: tuple[int, ...] | None = None,
    steps: int | None = None,
    weights_from: Path | None = None,
    frames: Callable[[tuple[int, ...]], bool] | None = None,
    notify: Callable[[str], None] | None = None,
) -> ExportSource:
    """Return the network that a function returns as the source of an export.

    Args:
        text: MODULE:FUNCTION.
        in_shape: of one image, (C, H, W), (C, L) or (F,); None if the function returns it.
        steps: T; None if the network loops over its steps itself.
        weights_from: a file of its `state_dict`, see `load_weights`; None for its own weights.
        frames: from the shape of its input, whether a forward of one step is given another frame at
            each step; by default it is not.
        notify: called with notes on that file, and on which value is the output.

    Raises:
        ConfigError: the network cannot be loaded or exported, its shape is missing, or names or
            shapes of weights are not its own.
        DataError: the file of weights cannot be read.
        VerificationError: the export graph does not compute what the network computes.
    """
    module, returned = load_module(text)
    shape = in_shape or returned
    if shape is None:
        raise ConfigError(
            "the shape of the input is missing",
            remedy="give --in-shape CxHxW (CxL, F), or return (network, in_shape)",
        )
    if returned is not None and shape != returned:
        raise ConfigError(
            f"--in-shape {'x'.join(map(str, shape))} is not the shape that {text} returns",
            why=f"it returns {returned}",
        )
    with contextlib.redirect_stdout(sys.stderr):
        if weights_from is not None:
            for note in load_weights(module, weights_from):
                if notify is not None:
                    notify(note)
        by_step = frames is not None and frames(shape)
        return source_of_module(module, in_shape=shape, steps=steps, frames=by_step, notify=notify)
