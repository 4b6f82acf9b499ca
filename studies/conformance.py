"""Which importer of NIR runs which graph exactly, measured by running them.

    python -m studies.conformance [-o docs/conformance.md]

Every installed importer reads and runs files of asnn and a set of small graphs. Their outputs are
compared with our interpreter of NIR, which follows the equations in NIR's documentation.
`exporters/nir/targets.py` is written from this table.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch

from asnn.exporters import source_of
from asnn.exporters.graph.ir import Array
from asnn.exporters.nir.file import write_nir
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.nir.lif import build_lif
from asnn.exporters.nir.nodes import DT
from asnn.exporters.nir.unrolled import OUTPUT, input_of, unroll
from asnn.exporters.verification.simulators import SIMULATORS, Simulator
from asnn.models import create_model

Value = float | list[float]
STEPS, BATCH = 6, 5
TOLERANCE = 1e-5
SIZES: dict[str, dict[str, Any]] = {
    "lenet": {"widths": [4, 8], "hidden": 16},
    "mlp": {"features": [16, 16]},
}


@dataclass(frozen=True)
class Case:
    """A graph with an input.

    Attributes:
        name: its row in the table.
        graph: the graph.
        steps: its input, `[T, B, ...]`.
    """

    name: str
    graph: nir.NIRGraph
    steps: Array


def cases() -> list[Case]:
    """Return the graphs of the table."""
    return [*_exports(), *_neurons(), *_layers(), *_connections()]


def _exports() -> Iterator[Case]:
    torch.manual_seed(0)
    constant: dict[str, Any] = {"schedule": "shared", "reset": "zero"}
    for name in ("lenet", "mlp"):
        for form in ("portable", "pure", "lif"):
            model = create_model(
                name,
                in_shape=(1, 8, 8),
                classes=4,
                coding="temporal" if form == "lif" else "hybrid",
                steps=4,
                neuron_options={"gain": 2.0, **(constant if form == "lif" else {})},
                output_scale=form != "lif",
                **SIZES[name],
            )
            model.train()
            with torch.no_grad():
                for _ in range(10):
                    model(torch.rand(32, 1, 8, 8))
            source = source_of(model)
            code = source.encode(np.random.default_rng(0).random((BATCH, 1, 8, 8), np.float32))
            if form == "lif":
                graph, steps = build_lif(source.graph, {}), code
            else:
                graph = unroll(source.graph, form, {})
                steps = input_of(source.graph, code)[None]
            yield Case(f"`asnn export --form {form}`, {name}", graph, steps)


def _noise(*shape: int, high: float = 2.0) -> Array:
    rng = np.random.default_rng(1)
    return rng.uniform(0, high, (STEPS, BATCH, *shape)).astype(np.float32)


def _chain(
    shape: tuple[int, ...], *nodes: nir.NIRNode, out: tuple[int, ...] | None = None
) -> nir.NIRGraph:
    named: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array(shape)})}
    named |= {f"node{i}": node for i, node in enumerate(nodes)}
    named["output"] = nir.Output({"output": np.array(out or shape)})
    names = list(named)
    return nir.NIRGraph(named, list(itertools.pairwise(names)), type_check=False)


def _full(value: Value, size: int = 4) -> Array:
    return np.broadcast_to(np.asarray(value, np.float32), (size,)).copy()


def _lif(
    tau: Value = 2.0,
    r: Value = 1.0,
    v_leak: Value = 0.0,
    v_threshold: Value = 0.6,
    v_reset: Value = 0.0,
) -> nir.LIF:
    """A LIF neuron, its time constant in steps."""
    return nir.LIF(
        tau=_full(tau) * np.float32(DT),
        r=_full(r),
        v_leak=_full(v_leak),
        v_threshold=_full(v_threshold),
        v_reset=_full(v_reset),
    )


def _neurons() -> Iterator[Case]:
    x = _noise(4)
    different = [2.0, 3.0, 4.0, 5.0]
    nodes: dict[str, nir.NIRNode] = {
        "LIF, hard reset, r = 1": _lif(),
        "LIF, r = τ/dt": _lif(r=2.0, v_threshold=1.2),
        "LIF, r = 1, a τ for each neuron": _lif(tau=different),
        "LIF, a threshold for each neuron": _lif(v_threshold=[0.4, 0.5, 0.6, 0.7]),
        "LIF, v_reset = 0.2": _lif(v_reset=0.2),
        "LIF, v_leak = 0.2": _lif(v_leak=0.2),
        "LIF, τ = dt": _lif(tau=1.0),
        "IF, r = 1/dt": nir.IF(r=_full(1 / DT), v_threshold=_full(1.5)),
        "IF, r = 1": nir.IF(r=_full(1.0), v_threshold=_full(1e-4)),
        "CubaLIF": nir.CubaLIF(
            tau_syn=_full(2 * DT),
            tau_mem=_full(3 * DT),
            r=_full(3.0),
            v_leak=_full(0.0),
            v_threshold=_full(1.5),
            w_in=_full(2.0),
        ),
        "LI": nir.LI(tau=_full(2 * DT), r=_full(1.0), v_leak=_full(0.0)),
        "Threshold": nir.Threshold(_full(1.0)),
    }
    for name, node in nodes.items():
        yield Case(name, _chain((4,), node), x)
    ones = np.ones((1, BATCH, 4), np.float32)
    one_step = _lif(tau=2.0, r=2.0, v_threshold=1.0)
    yield Case("LIF exactly at its threshold does not fire", _chain((4,), one_step), ones)


def _layers() -> Iterator[Case]:
    rng = np.random.default_rng(2)

    def weights(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(np.float32)

    def conv(weight: Array, **changes: Any) -> nir.Conv2d:
        fields: dict[str, Any] = {
            "stride": (1, 1),
            "padding": (1, 1),
            "dilation": (1, 1),
            "groups": 1,
        }
        bias = weights(len(weight))
        return nir.Conv2d(input_shape=(6, 6), weight=weight, bias=bias, **{**fields, **changes})

    flat, image = _noise(4), _noise(2, 6, 6)
    yield Case("Linear", _chain((4,), nir.Linear(weights(3, 4)), out=(3,)), flat)
    affine = nir.Affine(weights(3, 4), weights(3))
    yield Case("Affine", _chain((4,), affine, out=(3,)), flat)
    yield Case("Scale", _chain((4,), nir.Scale(weights(4))), flat)
    convs = {
        "Conv2d": (conv(weights(3, 2, 3, 3)), (3, 6, 6)),
        "Conv2d, stride 2, dilation 2": (
            conv(weights(3, 2, 3, 3), stride=(2, 2), padding=(2, 2), dilation=(2, 2)),
            (3, 3, 3),
        ),
        "Conv2d in groups": (conv(weights(4, 1, 3, 3), groups=2), (4, 6, 6)),
    }
    for name, (node, out) in convs.items():
        yield Case(name, _chain((2, 6, 6), node, out=out), image)
    two, none = np.array([2, 2]), np.array([0, 0])
    for name, kind in (("AvgPool2d", nir.AvgPool2d), ("SumPool2d", nir.SumPool2d)):
        node = kind(kernel_size=two, stride=two, padding=none)
        yield Case(name, _chain((2, 6, 6), node, out=(2, 3, 3)), image)
    for start, end in ((-3, -1), (0, 2)):
        shape = {"input": np.array([2, 6, 6])}
        node = nir.Flatten(input_type=shape, start_dim=start, end_dim=end)
        name = f"Flatten, start_dim {start}, end_dim {end}"
        yield Case(name, _chain((2, 6, 6), node, out=(72,)), image)


def _connections() -> Iterator[Case]:
    rng = np.random.default_rng(3)
    x = _noise(4)
    layers = {
        name: nir.Affine(rng.standard_normal((4, 4)).astype(np.float32), _full(0.1))
        for name in ("a", "b", "c")
    }
    ends = {
        "input": nir.Input({"input": np.array([4])}),
        "output": nir.Output({"output": np.array([4])}),
    }
    diamond = [("input", "a"), ("a", "b"), ("a", "c"), ("b", "output"), ("c", "output")]
    yield Case(
        "two paths that split and join",
        nir.NIRGraph({**ends, **layers}, diamond, type_check=False),
        x,
    )
    skip = [("input", "a"), ("a", "b"), ("b", "c"), ("a", "c"), ("c", "output")]
    yield Case("a skip connection", nir.NIRGraph({**ends, **layers}, skip, type_check=False), x)


def measure(simulator: Simulator, case: Case) -> str:
    """Return `exact`, the difference of the output, or how the importer refuses."""
    expected = run_nir(case.graph, case.steps)[OUTPUT]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.nir"
        write_nir(path, case.graph)
        try:
            net = simulator.open(path)
        except Exception as error:  # of another package
            return f"refused ({type(error).__name__})"
        try:
            found = net.run(case.steps)
        except Exception as error:  # of another package
            return f"fails when run ({type(error).__name__})"
    if found.shape != expected.shape:
        return f"wrong shape {found.shape[1:]}"
    difference = float(np.abs(found - expected).max())
    return "exact" if difference <= TOLERANCE else f"**wrong** by {difference:.2g}"


def table() -> str:
    """Return the page."""
    installed = [each for each in SIMULATORS.values() if each.version is not None]
    missing = [each.name for each in SIMULATORS.values() if each.version is None]
    versions = [f"nir {nir.version}", f"nirtorch {version('nirtorch')}"]
    heads = [f"{each.name} {each.version}" for each in installed]
    lines = [
        "# Conformance",
        "",
        "Which importer of NIR runs which graph, each read from a file; `exact` is within 1e-5 of",
        f"NIR's equations over {STEPS} steps (unrolled files are run once). Measured by",
        "",
        "    python -m studies.conformance -o docs/conformance.md",
        "",
        f"with {', '.join(versions)}, asnn {version('asnn')}, torch {torch.__version__}."
        + (f" Not installed: {', '.join(missing)}." if missing else ""),
        "",
        "| | " + " | ".join(heads) + " |",
        "|---" * (len(heads) + 1) + "|",
    ]
    for case in cases():
        cells = [measure(each, case) for each in installed]
        lines.append(f"| {case.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(prog="python -m studies.conformance")
    parser.add_argument("-o", "--output", type=Path, help="write the page to a file")
    options = parser.parse_args()
    page = table()
    if options.output is None:
        sys.stdout.write(page)
    else:
        options.output.write_text(page)


if __name__ == "__main__":
    main()
