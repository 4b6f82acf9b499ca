"""Which step a NIR graph states or decides."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest

from asnn.formats.step_length import decided_dt, needs_dt, stated_dt

ONES = np.ones(3, np.float32)


def lif(tau, r, **more) -> nir.LIF:
    return nir.LIF(tau=tau * ONES, r=r * ONES, v_leak=0 * ONES, v_threshold=ONES, **more)


def graph(*nodes: nir.NIRNode, metadata=None) -> nir.NIRGraph:
    names = ["input", *(f"n{i}" for i in range(len(nodes))), "output"]
    shape = np.array([3])
    ends = {"input": nir.Input({"input": shape}), "output": nir.Output({"output": shape})}
    inner = dict(zip(names[1:-1], nodes, strict=True))
    edges = list(pairwise(names))
    return nir.NIRGraph({**ends, **inner}, edges, metadata=metadata or {}, type_check=False)


def test_metadata_state_it() -> None:
    assert stated_dt(graph(lif(1e-3, 1))) is None
    assert stated_dt(graph(lif(1e-3, 1), metadata={"dt": 1e-4})) == 1e-4
    assert stated_dt(graph(lif(1e-3, 1, metadata={"dt": np.array([0.5])}))) == 0.5
    both = graph(lif(1e-3, 1, metadata={"dt": 1e-3}), metadata={"dt": 1e-4})
    assert stated_dt(both) is None
    assert stated_dt(graph(lif(1e-3, 1), metadata={"dt": "soon"})) is None
    assert stated_dt(graph(lif(1e-3, 1), metadata={"dt": -1.0})) is None


@pytest.mark.parametrize("dt", [1e-4, 1e-3, 0.37])
def test_gains_of_one_decide_it(dt) -> None:
    """snnTorch writes r = τ / dt, so that β v + x is what a step computes."""
    taus = np.array([20, 5.3, 100], np.float32) * np.float32(dt)
    nodes = [lif(tau, tau / np.float32(dt)) for tau in taus]
    assert decided_dt(graph(*nodes)) == pytest.approx(dt, rel=1e-12)
    rest = {"r": 7 * ONES, "v_leak": 0 * ONES, "v_threshold": ONES}
    cuba = nir.CubaLIF(tau_syn=ONES, tau_mem=dt * 7 * ONES, **rest)
    inner = graph(*nodes, cuba)
    assert decided_dt(graph(inner)) == pytest.approx(dt, rel=1e-12)


@pytest.mark.parametrize(
    "nodes",
    [
        [lif(1e-3, 1)],  # r = 1 is what files have that know no dt
        [lif(1e-3, 10), lif(1e-3, 20)],
        [lif(1e-3, 10), nir.IF(r=ONES, v_threshold=ONES)],
        [lif(1e-3, -10)],
        [nir.Linear(np.eye(3))],
    ],
)
def test_other_parameters_do_not(nodes) -> None:
    assert decided_dt(graph(*nodes)) is None


def test_which_graphs_need_it() -> None:
    assert not needs_dt(graph(nir.Linear(np.eye(3)), nir.Threshold(ONES)))
    assert needs_dt(graph(nir.IF(r=ONES, v_threshold=ONES)))
    assert needs_dt(graph(graph(nir.Delay(ONES))))
