"""What `inspect` warns of in a NIR graph, and what it lists."""

import nir
import numpy as np
import pytest

from asnn.inspection import inspect
from tests.support.forked import forked_scan as forked_scan
from tests.support.format_files import nir_graph

pytestmark = pytest.mark.usefixtures("forked_scan")


def full(value, *shape):
    return np.full(shape or (3,), value, np.float32)


def lif(tau=2.0, r=1.0, **options):
    return nir.LIF(tau * full(1), r * full(1), full(0), full(1), full(0), **options)


def chain(*middle, size=(3,), metadata=None):
    nodes = [nir.Input(np.array(size)), *middle, nir.Output(np.array([3]))]
    return nir_graph(
        {f"n{i}": node for i, node in enumerate(nodes)}, metadata=metadata or {}, type_check=False
    )


WARNED = {
    "no time step": (chain(lif()), "does not state the length of a time step"),
    "snnTorch's export": (chain(lif(tau=2e-4, r=2.0)), "reset_mechanism='subtract'"),
    "varying tau": (
        chain(lif(tau=np.array([1, 2, 3], "f4"))),
        "spikingjelly 2.0.0 does not run it exactly: it refuses LIF 'n1' with several τ",
    ),
    "flatten from the front": (
        chain(nir.Flatten({"input": np.array([3])}, 0, -1)),
        "Flatten 'n1' with axes from the front",
    ),
    "unsupported types": (
        chain(nir.Scale(full(2)), nir.Threshold(full(1))),
        "snntorch 1.0.0 does not run it exactly: it does not read Scale, Threshold",
    ),
    "delay": (
        chain(nir.Delay(full(1))),
        "spikingjelly 2.0.0 does not run it exactly: it does not read Delay",
    ),
    "IF": (
        chain(nir.IF(full(1), full(1))),
        "snntorch 1.0.0 does not run it exactly: it does not read IF",
    ),
    "no time step of IF": (chain(nir.IF(full(1), full(1))), "does not state the length of a time"),
    "no time step of I": (chain(nir.I(full(1))), "does not state the length of a time step"),
    "a decided time step": (chain(lif(tau=2e-3, r=2.0)), "as it is with 0.001 s"),
    "groups": (
        chain(nir.Conv2d((8, 8), full(1, 4, 2, 3, 3), 1, 1, 1, 2, full(0, 4)), size=(4, 8, 8)),
        "it refuses Conv2d 'n1' with groups",
    ),
    "newer than 1.0.4": (chain(lif()), "readers that require nir 1.0.4"),
    "nir's type check": (chain(nir.Scale(full(2, 5))), "nir's own type check refuses it"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", WARNED)
def test_differences_between_importers_are_warned_of(case, tmp_path):
    graph, message = WARNED[case]
    nir.write(tmp_path / "m.nir", graph)
    assert any(message in warning for warning in inspect(tmp_path / "m.nir")["warnings"])


def test_a_graph_that_all_importers_read_has_no_warning(tmp_path):
    path = tmp_path / "m.nir"
    linear, flatten = nir.Linear(full(1, 3, 3)), nir.Flatten({"input": np.array([3])}, -1, -1)
    nir.write(path, chain(linear, flatten, metadata={"dt": 1e-4}))
    assert inspect(path)["warnings"] == []
    nir.write(path, chain(lif(tau=2e-4, r=2.0), metadata={"dt": 1e-4}))
    found = inspect(path)
    assert found["run_by"] == ["snntorch", "spikingjelly"] and found["dt"] == 1e-4
    norse, pinned = found["warnings"]
    assert norse == ("norse 1.1.0 does not run it exactly: it is wrong for LIF 'n1' with r = τ/dt")
    assert "1.0.4" in pinned


def test_one_warning_names_an_importer(tmp_path):
    """IF was said not to be read by snnTorch, and to be read as a leaky neuron."""
    nir.write(tmp_path / "m.nir", chain(nir.IF(full(1), full(1)), nir.Scale(full(2))))
    warnings = inspect(tmp_path / "m.nir")["warnings"]
    for name in ("snntorch", "spikingjelly", "norse"):
        assert sum(warning.startswith(name) for warning in warnings) == 1


def test_both_time_constants_of_a_synapse(tmp_path):
    cuba = nir.CubaLIF(full(1e-3), full(2e-3), full(1), full(0), full(1))
    nir.write(tmp_path / "m.nir", chain(cuba))
    layer = inspect(tmp_path / "m.nir")["layers"][1]
    assert layer["tau_syn"] == pytest.approx([1e-3, 1e-3])
    assert layer["tau_mem"] == pytest.approx([2e-3, 2e-3])


def test_loops_are_warned_of(tmp_path):
    graph = chain(lif(), metadata={"dt": 1e-4})
    graph.nodes["back"] = nir.Linear(full(1, 3, 3))
    graph.edges += [("n1", "back"), ("back", "n1")]
    nir.write(tmp_path / "m.nir", graph)
    assert any("it has loops" in warning for warning in inspect(tmp_path / "m.nir")["warnings"])


def test_ranges_of_layers(tmp_path):
    nir.write(tmp_path / "m.nir", chain(lif(tau=np.array([1, 2, 3], "f4"))))
    layer = inspect(tmp_path / "m.nir")["layers"][1]
    assert (layer["name"], layer["type"], layer["shape"]) == ("n1", "LIF", [3])
    assert layer["tau"] == [1, 3] and layer["v_threshold"] == [1, 1]
