"""`asnn doctor`: check the installation: versions, devices, imports."""

from __future__ import annotations

from typing import Any

import typer

from ...core.errors import ConfigError
from ..terminal import console, options
from .plugins import PLUGIN_COLUMNS, examine_plugins

PACKAGES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "numba": "numba",
    "snntorch": "snntorch",
    "safetensors": "safetensors",
    "pydantic": "pydantic",
    "scikit-learn": "sklearn",
    "matplotlib": "matplotlib",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "nir": "nir",
}


def doctor(
    as_json: options.Json = False,
) -> None:
    """Check the installation: versions, devices, and problems with their remedies.

    Exit code 1 if there is a problem.

    Examples:

    asnn doctor
    """
    found = examine()
    if as_json:
        console.print_json(found)
    else:
        _show(found)
    if found["problems"]:
        raise typer.Exit(1)


def examine() -> dict[str, Any]:
    """Return versions, devices and problems of this installation."""
    import platform
    from importlib.metadata import version

    packages: dict[str, str | None] = {}
    problems: list[dict[str, str]] = []
    for name, module in PACKAGES.items():
        try:
            packages[name] = _import(module)
        except Exception as error:  # an import may raise anything
            packages[name] = None
            problems.append(
                {
                    "what": f"{name} cannot be imported",
                    "why": (str(error).splitlines() or [type(error).__name__])[0],
                    "remedy": f"pip install --force-reinstall {name}",
                }
            )
    problems += [problem for problem in (_both_runtimes(), _other_torch()) if problem]
    plugins, failed = examine_plugins()
    problems += failed
    kernels = None
    if packages["torch"] and packages["numba"]:
        kernels, problem = _cpu_kernels()
        problems += [problem] if problem else []
    return {
        "asnn": version("asnn"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "devices": _devices() if packages["torch"] else {},
        "kernels": {"cpu": kernels},
        "plugins": plugins,
        "notes": [note for note in (_other_build(packages),) if note],
        "problems": problems,
    }


def _import(module: str) -> str:
    """Import a package in the same way as asnn, and return its version."""
    from importlib import import_module

    if module == "torchvision":
        from ...datasets.sources.images.torchvision_import import torchvision

        return str(torchvision().__version__)
    if module == "nir":
        from importlib.metadata import version

        import_module(module)
        return version(module)
    return str(getattr(import_module(module), "__version__", "unknown"))


def _both_runtimes() -> dict[str, str] | None:
    from importlib.metadata import distributions

    names = {(dist.metadata["Name"] or "").lower() for dist in distributions()}
    if {"onnxruntime", "onnxruntime-gpu"} <= names:
        return {
            "what": "onnxruntime and onnxruntime-gpu are both installed",
            "why": "they are the same module and overwrite each other",
            "remedy": "pip uninstall onnxruntime onnxruntime-gpu, then install one of them",
        }
    return None


def _other_torch() -> dict[str, str] | None:
    """Return the problem that torchvision is made for another version of torch, if it is."""
    import re
    from importlib.metadata import PackageNotFoundError, requires, version

    try:
        wanted = [re.match(r"torch ?\(?==([\w.]+)", text) for text in requires("torchvision") or []]
        torch, torchvision = version("torch"), version("torchvision")
    except PackageNotFoundError:  # then one of them cannot be imported, which is told
        return None
    for exact in filter(None, wanted):
        if exact[1] != torch.partition("+")[0]:
            return {
                "what": f"torchvision {torchvision} does not fit torch {torch}",
                "why": f"it is made for torch {exact[1]}",
                "remedy": "install both at once: pip install --upgrade torch torchvision",
            }
    return None


def _other_build(packages: dict[str, str | None]) -> str | None:
    """Return what follows from builds of torch and torchvision for different devices."""
    from ...datasets.sources.images.torchvision_import import lacks_operators

    if not packages["torchvision"] or not lacks_operators():
        return None
    return (
        f"torchvision {packages['torchvision']} is built for other devices than torch "
        f"{packages['torch']}: its compiled operators cannot be loaded. asnn does not use them. If "
        "your own code does, install both from the same index"
    )


def _devices() -> dict[str, Any]:
    import torch

    cuda = torch.cuda.is_available()
    return {
        "cpu": {"threads": torch.get_num_threads()},
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if cuda
        else [],
        "mps": torch.backends.mps.is_available(),
    }


def _cpu_kernels() -> tuple[dict[str, Any] | None, dict[str, str] | None]:
    """Return which instruction set the CPU kernels use and why, or the problem with them."""
    try:
        from ...kernels.cpu.amx.check import describe

        return describe(), None
    except ConfigError as error:
        return None, {"what": error.what, "why": error.why, "remedy": error.remedy}
    except Exception as error:  # an import may raise anything
        return None, {
            "what": "the CPU kernels do not work",
            "why": (str(error).splitlines() or [type(error).__name__])[0],
            "remedy": "pip install --force-reinstall numba",
        }


def _show(found: dict[str, Any]) -> None:
    console.heading(f"asnn {found['asnn']}, Python {found['python']}, {found['platform']}")
    console.table(
        "packages",
        ["package", "version"],
        [[name, version or "missing"] for name, version in found["packages"].items()],
    )
    devices = found["devices"]
    if devices:
        cuda = ", ".join(devices["cuda"]) or "none"
        console.note(
            f"CPU with {devices['cpu']['threads']} threads; CUDA devices: {cuda}; "
            f"MPS: {'yes' if devices['mps'] else 'no'}"
        )
    kernels = found["kernels"]["cpu"]
    if kernels:
        console.note(f"CPU kernels use {kernels['used']}: {kernels['why']}")
    if found["plugins"]:
        rows = [[each[key] for key in PLUGIN_COLUMNS] for each in found["plugins"]]
        console.table("plug-ins", list(PLUGIN_COLUMNS), rows)
    for note in found["notes"]:
        console.note(f"note: {note}")
    for problem in found["problems"]:
        console.note(f"problem: {problem['what']}: {problem['why']}")
        console.note(f"  → {problem['remedy']}")
    if not found["problems"]:
        console.note("No problems found.")
