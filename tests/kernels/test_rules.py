"""Every reset rule and surrogate of the table: the reference, numba and the exporters follow it.

`tests/support/triton_cases.py` goes through the same table for Triton.
"""

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from asnn.core import ConfigError
from asnn.exporters import export_nir, export_onnx, source_of
from asnn.exporters.graph.interpreter import neuron_steps
from asnn.exporters.graph.ir import Neuron
from asnn.kernels import rules
from asnn.kernels.contract import GAIN, LEAK, MEAN, SCALE, SIZE, Rule, Shape
from asnn.kernels.rules import (
    LEVEL_GRADIENTS,
    RESETS,
    SURROGATES,
    Reset,
    ResetName,
    Surrogate,
    SurrogateName,
)
from asnn.models import AdaptiveLeaky
from asnn.models.neurons.functional.leaky import LeakyOptions, LeakyParameters, leaky_steps
from tests.support.exported_networks import network, samples

STEPS, ROWS, CHANNELS = 5, 12, 9
# A rule of nobody: no kernel has its code, and none of the formulas of the table is like it.
HALVED = Reset(len(RESETS), lambda v, s, size: v * (1 - s / 2))
DOUBLED = Surrogate(len(SURROGATES), lambda u, alpha: 2 * alpha / (1 + (alpha * u).abs()), 3.0)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def parameters(dtype=torch.float32):
    leak = torch.linspace(0.3, 0.9, STEPS, dtype=dtype)
    gain = torch.linspace(1.5, 0.7, STEPS, dtype=dtype)
    return LeakyParameters(leak, gain, torch.tensor(0.6, dtype=dtype))


def by_formulas(x, grad, reset, surrogate, alpha):
    """Spikes, and the gradient of x, of the equations of `contract` in float64, from the table.

    s_t = H(u_t) in the forward pass; its derivative is the formula, written out by the chain rule
    and not by autograd: g_t = ∂L/∂v_t before the reset, d_t after it.
    """
    p, x = parameters(torch.float64), x.double()
    v, us, vs, spikes = torch.zeros_like(x[0]), [], [], []
    for t in range(STEPS):
        v = p.leak[t] * v + p.gain[t] * x[t]
        us.append(v - p.threshold)
        vs.append(v)
        spikes.append((us[t] > 0).double())
        v = reset.formula(v, spikes[t], p.threshold)
    assert min(u.abs().min() for u in us) > 1e-5, "take another seed: float32 could round over"
    grads, d = [], torch.zeros_like(v)
    for t in reversed(range(STEPS)):
        v, s = (part.clone().requires_grad_() for part in (vs[t], spikes[t]))
        after = reset.formula(v, s, p.threshold)
        of_v, of_s = torch.autograd.grad(after, (v, s), d, allow_unused=True)
        of_s = grad[t].double() + (0 if of_s is None else of_s)
        g = of_v + of_s * surrogate.formula(us[t], alpha)
        grads.append(g * p.gain[t])
        d = p.leak[t] * g
    return torch.stack(spikes), torch.stack(grads[::-1])


def by_reference(x, grad, reset, surrogate, alpha):
    names = {rule: name for name, rule in [*rules.RESETS.items(), *rules.SURROGATES.items()]}
    options = LeakyOptions(names[reset], names[surrogate], alpha)
    leaf = x.double().requires_grad_()
    spikes = leaky_steps(leaf, parameters(torch.float64), options)
    spikes.backward(grad.double())
    return spikes.detach(), leaf.grad


def by_numba(x, grad, reset, surrogate, alpha):
    pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")
    from asnn.kernels.cpu import backend

    p, shape = parameters(), Shape(STEPS, ROWS, 1, 1, CHANNELS, False, (1, 1))
    table = torch.zeros(6, STEPS, CHANNELS)
    table[MEAN], table[SCALE], table[SIZE] = 0, 1, 1
    table[LEAK], table[GAIN] = p.leak[:, None], p.gain[:, None]
    rule = Rule(reset.code, False, surrogate.code, alpha, False)
    spikes, _ = backend.forward(x, table, p.threshold.reshape(1), shape, rule, False)
    q, _ = backend.backward(grad, x, table, p.threshold.reshape(1), shape, rule)
    return spikes, q


def assert_follows_the_table(function, reset, surrogate, alpha):
    x, grad = 1.5 * drawn(STEPS, ROWS, CHANNELS), drawn(STEPS, ROWS, CHANNELS, seed=1)
    spikes, gradient = function(x, grad, reset, surrogate, alpha)
    expected, expected_gradient = by_formulas(x, grad, reset, surrogate, alpha)
    assert 0.05 < expected.mean() < 0.95
    assert torch.equal(spikes.double(), expected)
    scale = expected_gradient.abs().max()
    torch.testing.assert_close(
        gradient.double(), expected_gradient, rtol=1e-4, atol=1e-5 * float(scale)
    )


IMPLEMENTATIONS = [by_reference, by_numba]


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("function", IMPLEMENTATIONS)
def test_implementations_follow_the_table(function, reset, surrogate):
    for alpha in (SURROGATES[surrogate].alpha, 1.7):
        assert_follows_the_table(function, RESETS[reset], SURROGATES[surrogate], alpha)


@pytest.mark.parametrize(
    ("reset", "surrogate"), [(HALVED, SURROGATES["atan"]), (RESETS["zero"], DOUBLED)]
)
def test_a_rule_without_a_kernel_is_noticed(reset, surrogate):
    """The negative control of the test above."""
    with pytest.raises(AssertionError):
        assert_follows_the_table(by_numba, reset, surrogate, surrogate.alpha)


def test_a_new_rule_reaches_the_reference(monkeypatch):
    monkeypatch.setitem(rules.RESETS, "halved", HALVED)
    monkeypatch.setitem(rules.SURROGATES, "doubled", DOUBLED)
    assert_follows_the_table(by_reference, HALVED, DOUBLED, 2.0)
    AdaptiveLeaky(STEPS, reset="halved", surrogate="doubled")


def test_codes_are_distinct_and_the_types_have_all_names():
    for table, names in ((RESETS, get_args(ResetName)), (SURROGATES, get_args(SurrogateName))):
        assert tuple(table) == names
        assert [entry.code for entry in table.values()] == list(range(len(table)))


def test_constants_for_compilers_are_the_codes_of_the_table():
    codes = {name: entry.code for name, entry in [*RESETS.items(), *SURROGATES.items()]}
    assert not set(LEVEL_GRADIENTS.values()) & {entry.code for entry in SURROGATES.values()}
    codes |= {name.replace("-", "_"): code for name, code in LEVEL_GRADIENTS.items()}
    constants = {name: value for name, value in vars(rules).items() if type(value) is int}
    # The last branch of a kernel needs no code.
    assert {name.lower(): value for name, value in constants.items()} == {
        name: code for name, code in codes.items() if name != "none"
    }


def test_the_documentation_has_all_surrogates_and_their_defaults():
    text = (Path(rules.__file__).parents[1] / "docs" / "method.md").read_text()
    rows = [re.split(r"(?<!\\)\|", line) for line in text.splitlines() if line.startswith("| `")]
    start = [row[1].strip() for row in rows].index("`neuron.surrogate`") + 1
    table = rows[start : start + len(SURROGATES)]
    assert {row[1].strip(" `"): float(row[3].split()[0]) for row in table} == {
        name: surrogate.alpha for name, surrogate in SURROGATES.items()
    }


@pytest.mark.parametrize("reset", RESETS)
def test_the_interpreter_of_exported_graphs_follows_the_table(reset):
    x, p = 1.5 * drawn(STEPS, ROWS, CHANNELS), parameters()
    schedule = {name: getattr(p, name).numpy()[:, None] for name in ("leak", "gain")}
    threshold = np.full((STEPS, 1), p.threshold.item(), np.float32)
    node = Neuron(
        name="n", inputs=("x",), **schedule, threshold=threshold, size=threshold, reset=reset
    )
    expected, _ = by_formulas(x, x, RESETS[reset], SURROGATES["sigmoid"], 4.0)
    assert np.array_equal(neuron_steps(node, x.numpy())[0], expected.numpy())


def exported(reset, tmp_path):
    """Export a network to ONNX and NIR, which compares both files with the interpreter."""
    source = source_of(network("mlp", neuron_options={"reset": reset}), {"recipe": "test"})
    assert all(node.reset == reset for node in source.graph.neurons)
    export_onnx(source, tmp_path / "model.onnx", samples=samples())
    export_nir(source, tmp_path / "model.nir", samples=samples())


@pytest.mark.slow
@pytest.mark.parametrize("reset", RESETS)
def test_exported_files_follow_the_table(tmp_path, reset):
    if reset == "zero":  # NIR has no product of two signals
        with pytest.raises(ConfigError, match="which NIR cannot unroll"):
            exported(reset, tmp_path)
    else:
        exported(reset, tmp_path)


def test_a_rule_that_onnx_does_not_know_is_noticed(tmp_path, monkeypatch):
    """The negative control of the test above."""
    monkeypatch.setitem(RESETS, "halved", HALVED)
    with pytest.raises(AssertionError, match="ONNX has no form for the reset 'halved'"):
        exported("halved", tmp_path)
