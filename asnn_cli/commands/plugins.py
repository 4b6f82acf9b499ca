"""The components of other packages, and whether they can be loaded."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from importlib import import_module
from importlib.metadata import EntryPoint, distributions
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...core.registry import Registry

PREFIX = "asnn."
REGISTRIES = {
    "tasks": "tasks.factory:task_registry",
    "answers": "measure.prediction.answers:answer_registry",
    "methods": "learning.methods.registry:method_registry",
    "observers": "learning.monitoring.registry:observer_registry",
    "codings": "coding.factory:coding_registry",
    "neurons": "models.neurons.registry:neuron_registry",
    "synapses": "models.synapses.registry:synapse_registry",
    "readouts": "models.readouts.registry:readout_registry",
    "models": "models.factory:model_registry",
    "datasets": "datasets.load:dataset_registry",
    "exporters": "exporters.export:exporter_registry",
    "corruptions": "measure.robustness.corruptions:corruption_registry",
}
"""Where the registry of each kind is."""
PLUGIN_COLUMNS = ("kind", "name", "package", "state")


def examine_plugins() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return a row for each entry point in a group `asnn.KIND`, and the problems.

    A row has the `PLUGIN_COLUMNS`. Each component is loaded: a package that cannot be imported, a
    name that is taken, and a group that asnn does not read are problems.
    """
    from ...core.registry import nearest

    rows, problems = [], []
    taken: dict[tuple[str, str], str] = {}
    for point in _entry_points():
        kind, package = point.group.removeprefix(PREFIX), _package(point)
        remedy = f"repair {package}, or remove it: pip uninstall {_name(point)}"
        why = ""
        if kind not in REGISTRIES:
            near = nearest(kind, REGISTRIES)
            why = f"asnn reads no entry points {point.group}"
            remedy = f"its author may mean {PREFIX}{near}" if near else remedy
        elif (kind, point.name) in taken:
            why = f"{taken[kind, point.name]} has the same name"
        else:
            taken[kind, point.name] = package
            why = _why_not_loaded(kind, point)
        rows.append({"kind": kind, "name": point.name, "package": package, "state": why or "loads"})
        if why:
            what = f"the plug-in {point.name!r} ({point.group}) of {package} is not used"
            problems.append({"what": what, "why": why, "remedy": remedy})
    return rows, problems


def _entry_points() -> list[EntryPoint]:
    """Return the entry points in groups `asnn.KIND`; of a package found twice, the first."""
    found: dict[str, list[EntryPoint]] = {}
    for each in distributions():
        points = [point for point in each.entry_points if point.group.startswith(PREFIX)]
        if points:
            found.setdefault((each.metadata["Name"] or "").lower(), points)
    points = [point for of_package in found.values() for point in of_package]
    return sorted(points, key=lambda each: (each.group, each.name, _package(each)))


def _why_not_loaded(kind: str, point: EntryPoint) -> str:
    """Return why a component cannot be loaded; what its package prints goes to stderr."""
    try:
        if point.name in _registry(kind).builtin:
            return "asnn has a component of this name, which is taken"
        with redirect_stdout(sys.stderr):
            point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # an import of another package may raise anything, or exit
        text = next(iter(str(error).splitlines()), "")
        return f"{type(error).__name__}: {text}" if text else type(error).__name__
    return ""


def _registry(kind: str) -> Registry:
    module, _, attribute = REGISTRIES[kind].partition(":")
    return getattr(import_module(f"{PREFIX}{module}"), attribute)


def _name(point: EntryPoint) -> str:
    return point.dist.metadata["Name"] if point.dist is not None else point.module


def _package(point: EntryPoint) -> str:
    return f"{_name(point)} {point.dist.version}" if point.dist is not None else point.module
