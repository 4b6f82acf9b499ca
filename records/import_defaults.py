"""What a NIR file does not say: the length of a step, their number, semantics, samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..coding.base import FIRST_CHOICE
from ..coding.factory import coding_registry
from ..coding.samples import PLURALS, SampleSpec
from ..core.errors import ConfigError
from ..datasets import DataSet
from ..formats.errors import sanitize
from ..formats.step_length import decided_dt, needs_dt, stated_dt
from ..models.nir.reading import NirDescription
from ..models.nir.semantics import SEMANTICS, semantics_of

if TYPE_CHECKING:
    import nir

CODINGS = {**FIRST_CHOICE, "image": "direct"}
"""The code by kind of samples, unless another is named: images are the same at every step."""


def step_length(
    path: Path, graph: nir.NIRGraph, given: float | None, semantics: str, notes: list[str]
) -> float:
    """Return the length of a step: what is given, or what the simulator, the metadata or the
    parameters say.

    Args:
        path: of the file, in messages.
        graph: what it holds.
        given: in seconds; None if it is to be found.
        semantics: the name of them.
        notes: a line is added where it was found.

    Raises:
        ConfigError: nothing says it, and a node depends on it.
    """
    if given is not None:
        return given
    stated = stated_dt(graph)
    if stated is not None:
        notes.append(f"dt is {stated:g} s, as the metadata of the file state")
        return stated
    rule = semantics_of(semantics)
    if rule.dt is not None:
        return rule.dt
    decided = None if rule.scaled_times or rule.exponential else decided_dt(graph)
    if decided is not None:
        notes.append(f"dt is {decided:g} s, tau / r of all neurons: each adds its input as it is")
        return decided
    if rule.r_of_if and (of_if := _dt_of_if(graph)) is not None:
        notes.append(f"dt is {of_if:g} s, 1 / r of all IF, as {semantics} writes it")
        return of_if
    if not needs_dt(graph):
        return 1e-4  # nothing depends on it
    kinds = {type(node).__name__ for node in graph.nodes.values()} - {"Input", "Output"}
    raise ConfigError(
        f"{path} does not say how long a time step is",
        why=f"NIR has no field for it, and its nodes ({', '.join(sorted(kinds))}) compute "
        "something else with another one",
        remedy="give --dt SECONDS, that of the simulator that wrote the file: 0.0001 is the "
        "default of SpikingJelly, 0.001 that of Norse (with --semantics norse)",
    )


def semantics_name(graph: nir.NIRGraph, given: str | None, notes: list[str]) -> str:
    """Return the name of the semantics of a file: what is given, or what its metadata state, as
    those of exports of imported networks do, or `nir`.

    Args:
        graph: what the file holds.
        given: None if it is to be found.
        notes: a line is added where the metadata name others than `nir`.
    """
    if given is not None:
        return given
    about = (graph.metadata or {}).get("semantics", "nir")
    stated = about.decode("utf-8", "replace") if isinstance(about, bytes) else str(about)
    if stated == "nir":
        return "nir"
    if stated in SEMANTICS:
        notes.append(f"semantics are those of {stated}, as the metadata of the file state")
        return stated
    notes.append(
        f"its metadata name the semantics {sanitize(stated, 40)!r}, which asnn lacks: nir is taken"
    )
    return "nir"


def snntorch_notes(graph: nir.NIRGraph, dt: float) -> list[str]:
    """Return what speaks for snnTorch as the writer of a file that is read with `nir`: parameters
    as it writes them for every reset."""
    fires = any(type(node).__name__ in ("LIF", "CubaLIF") for node in graph.nodes.values())
    decided = None if "asnn" in (graph.metadata or {}) or not fires else decided_dt(graph)
    if decided is not None and np.isclose([dt, decided], 1e-4).all():
        return [
            "its neurons are reset as the file says; snnTorch writes the same for its default, a "
            "reset by subtraction: if it wrote the file, its semantics are `snntorch`"
        ]
    return []


def _dt_of_if(graph: nir.NIRGraph) -> float | None:
    """Return 1 / r of the neurons IF, if they all have the same; None otherwise."""
    nodes = (node for node in graph.nodes.values() if type(node).__name__ == "IF")
    found = {float(r) for node in nodes for r in np.ravel(node.r)}  # type: ignore[attr-defined]
    return 1 / r if len(found) == 1 and (r := found.pop()) > 0 else None


def sample_of(
    document: dict[str, Any],
    about: NirDescription,
    data: DataSet | None,
    steps: int | None,
    graph: nir.NIRGraph,
) -> SampleSpec:
    """Complete the section `coding` of a document, and return what samples are.

    Args:
        document: the tables of the recipe.
        about: the network.
        data: None without data.
        steps: T, if it is given.
        graph: whose metadata may state T.

    Raises:
        ConfigError: the number of steps is not known, or the shape of samples without data.
    """
    coding = document.setdefault("coding", {})
    if steps is not None:
        coding["steps"] = steps
    if "name" not in coding:
        coding["name"] = CODINGS["series" if data is None else data.spec.kind]
    if "steps" not in coding:
        known = (data.spec.steps if data is not None else None) or stated_steps(graph)
        if known is None:
            raise ConfigError(
                "the number of time steps is not known",
                why="a NIR file has none",
                remedy="give --steps T",
            )
        coding["steps"] = known
    if data is not None:
        return data.spec
    shape, takes = about.in_shape, coding_registry.get(coding["name"]).takes
    if "series" in takes:
        shape = shape if len(shape) in (1, 3) else (_product(shape),)
        return SampleSpec("series", shape, steps=coding["steps"])
    if "image" in takes and len(shape) == 3:
        return SampleSpec("image", shape)
    kind = PLURALS["image" if "image" in takes else "events"]
    raise ConfigError(
        f"the code {coding['name']} takes {kind}, whose shape is not known",
        why=f"the network reads samples of the shape {list(shape)}",
        remedy="name the data, --set data.name=NAME, or leave coding.name out",
    )


def _product(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())


def stated_steps(graph: nir.NIRGraph) -> int | None:
    """Return the number of steps that the metadata of an export of asnn state; 1 if all of them are
    channels of one."""
    about = graph.metadata or {}
    runs = about.get("runs")
    if (runs.decode() if isinstance(runs, bytes) else str(runs)).startswith("once, on all steps"):
        return 1
    found = about.get("steps")
    try:
        return int(found) if found is not None and int(found) > 0 else None
    except (TypeError, ValueError):
        return None
