"""Neurons by the equations of their step: the graph, its files and torch compute the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx, random_samples, source_of
from asnn.exporters.graph.cell import OPERATIONS, cell_steps
from asnn.exporters.graph.equations import traced
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Cell
from asnn.exporters.verification.margins import MARGIN, margin_in
from asnn.models import spike
from asnn.models.layers.spiking import SpikingLayer
from tests.support.exported_networks import network

T = 6


def cell(step, states=("v",), **schedules):
    return traced(Cell, "n", ("input",), step, list(states), schedules, T)


def in_torch(step, x, states=1, **schedules):
    """Spikes of all steps, computed by the function itself."""
    state = [torch.zeros_like(x[0])] * states
    spikes = []
    for t, x_t in enumerate(x):
        found = step(x_t, *state, **{key: table[t] for key, table in schedules.items()})
        spikes.append(found[0])
        state = found[1:]
    return torch.stack(spikes).float()


def values(shape=(T, 7, 5), seed=0, size=1.5):
    return size * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def leaky(x, v):
    v = 0.5 * v + x
    s = spike(v - 1)
    return s, v - s


def quadratic(x, v):
    v = v + 0.25 * v**2 + x
    s = (v > 1).float()
    return s, v * (1 - s)


def exponential(x, v):
    v = 0.8 * v + 0.1 * torch.exp((v - 1).clamp(max=2)) + x
    s = spike(v - 1.0, "atan", 2.0)
    return s, torch.where(s > 0, -0.2, v)


def adaptive(x, v, a):
    v = 0.9 * v + torch.tanh(x) - torch.sigmoid(a).square() / 4
    s = spike(v.relu() - (0.2 + a.abs()).sqrt())
    return (
        s,
        v.sub(s),
        0.7 * a + torch.log(1 + torch.erf(s)) + torch.minimum(s, v) - torch.maximum(-v, s) / 9,
    )


class Heaviside(torch.autograd.Function):
    """A surrogate gradient of another package."""

    @staticmethod
    def forward(u):
        return (u > 0).float()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass


def delayed(x, v, s):
    v = 0.5 * v + x - s
    return s, v, Heaviside.apply(v - 0.5)


def masked(x, v):
    v = torch.max(0.9 * v + x, torch.tensor(-1.0)) * (x < 4).bool()
    s = spike(v - 0.8)
    return s, v.masked_fill(s.bool(), 0.1)


def logical(x, v, count):
    ready = (count <= 0) & ~(x < -2) | (x >= 3)
    s = ((v + x > 0.5) & ready).to(x.dtype)
    return s, torch.where(ready, v + x, v).detach().clamp(-3, 3), (count - 1).clip(min=0) + 2 * s


def counting(x, v, count):
    v = torch.where(count == 0, v + nn.functional.relu(x), v)
    s = v.gt(0.8).to(torch.int32)
    return s, v.where(s == 0, x), 2 * s.to(x.dtype) + (count - 1).clamp_min(0).clamp_max(3)


def boolean(x, v):
    votes = (x > -0.5) + (x > 0.5)  # of booleans, so that two are one
    v = 0.5 * v + votes * 0.7 - 0.1 * torch.logical_not(v) + 0.2 * (v.to(torch.bool) != votes)
    s = torch.logical_and(v > 1, x) | torch.full_like(x, 0.7).gt(v) & ~(x < 1)
    return s, v - s.float()


def changed(x, v):
    kept = v.clone()
    v += x
    s = spike(v - 1)
    v *= 1 - s
    v -= kept / 8
    v /= 1.5
    return s, v


STEPS = {
    "leaky": (leaky, 1),
    "quadratic": (quadratic, 1),
    "exponential": (exponential, 1),
    "adaptive": (adaptive, 2),
    "delayed": (delayed, 2),
    "masked": (masked, 1),
    "logical": (logical, 2),
    "counting": (counting, 2),
    "boolean": (boolean, 1),
    "changed": (changed, 1),
}


@pytest.mark.parametrize("name", STEPS)
def test_it_computes_what_its_step_computes(name):
    step, states = STEPS[name]
    node = cell(step, [f"state{i}" for i in range(states)])
    x = values()
    spikes, distances = cell_steps(node, [x.numpy()])
    assert 0.1 < spikes.mean() < 0.9
    np.testing.assert_array_equal(spikes, in_torch(step, x, states).numpy())
    exact = name in ("counting", "boolean")  # these compare whole numbers, which may be equal
    assert exact or (distances > 0).all()


def test_every_operation_is_tried():
    used = {op.kind for step, n in STEPS.values() for op in cell(step, "abc"[:n]).operations}
    assert used == set(OPERATIONS)


def test_a_threshold_by_hand():
    """v = 0.5 v + x from 0.8, 0.8, 0.1: 0.8, 1.2 → 0.2, 0.2; the distances are |v - 1|."""
    node = cell(leaky)
    spikes, distances = cell_steps(node, [np.float32([0.8, 0.8, 0.1]).reshape(3, 1, 1)])
    assert spikes.ravel().tolist() == [0, 1, 0]
    np.testing.assert_allclose(distances.ravel(), [0.2, 0.2, 0.8], atol=1e-6)


def test_comparisons_of_whole_numbers_need_no_margin():
    def step(x, v, count):
        s = spike(v + x - 0.5) * (count <= 0)
        return s, v * 0.5 + x, (count - 1).clamp(min=0) + 3 * s

    node = cell(step, ["v", "count"])
    assert len(node.uncertain()) == 1  # of v, and not of the counter, which is often 0
    _, distances = cell_steps(node, [values().numpy()])
    assert (distances > 0).all()


def test_schedules_and_tensors_by_channel():
    gain, threshold = torch.linspace(0.2, 1.0, T), torch.linspace(0.5, 1.5, 5)

    def step(x, v, *, gain):
        v = v + gain * x
        s = spike(v - threshold)
        return s, v - threshold * s

    node, x = cell(step, gain=gain), values()
    assert node.shape([(5,)]) == (5,)
    with pytest.raises(ConfigError, match=r"layer 'n' expects what \[5\] broadcasts to, not \[4\]"):
        node.shape([(4,)])
    expected = in_torch(step, x, gain=gain).numpy()
    np.testing.assert_array_equal(cell_steps(node, [x.numpy()])[0], expected)
    wrong = replace(node, schedules=(node.schedules[0] * np.float32(1.3),))
    assert not np.array_equal(cell_steps(wrong, [x.numpy()])[0], expected)


@pytest.mark.slow
@given(st.floats(-3, 3), st.floats(0.1, 2), st.integers(1, 3), st.integers(0, 99))
def test_any_constants(bias, threshold, channels, seed):
    def step(x, v):
        v = 0.75 * v + x + bias
        s = spike(v - threshold)
        return s, v * (1 - s)

    x = values((T, 3, channels), seed)
    found = cell_steps(cell(step), [x.numpy()])[0]
    np.testing.assert_array_equal(found, in_torch(step, x).numpy())


def branching(x, v):
    return (x, v) if v.sum() > 0 else (spike(x), v)


def own_function(x, v):
    return nn.functional.softplus(x), v


def drawing(x, v):
    return spike(v + x + torch.randn(())), v + x


def aliased(x, v):
    v = v * 0.5
    before = v
    v += x
    return spike(before - 1), v


def dropped(x, v):
    v = v * 0.5
    changed = v
    changed += x
    return spike(v - 1), v


def viewed(x, v):
    v = v * 0.5
    before = v.detach()
    v += x
    return spike(before - 1), v


REFUSED = {
    "a draw": (drawing, "its step draws random numbers", "if self.training"),
    "an alias": (aliased, "+= in its step changes a tensor in place", "write v = v + x"),
    "another name": (dropped, "+= in its step changes a tensor in place", "write v = v + x"),
    "a view": (viewed, "+= in its step changes a tensor in place", "write v = v + x"),
    "relu in place": (
        lambda x, v: (spike(nn.functional.relu(x, inplace=True)), v),
        "relu with inplace=True",
        "",
    ),
    "whole numbers": (
        lambda x, v: (spike(x.to(torch.int64)), v),
        "torch.int64 in its step has no form",
        "rounds",
    ),
    "an option": (
        lambda x, v: (spike(x.add(v, alpha=2)), v),
        "add with alpha in its step has no form",
        "",
    ),
    "a branch": (branching, "its step cannot be traced: TraceError", "asnn.models.spike"),
    "a function": (own_function, "softplus in its step has no form", "torch.where"),
    "a reduction": (lambda x, v: (spike(x - x.mean()), v), "mean in its step", "use +"),
    "a power": (lambda x, v: (spike(x**4), v), "a power in its step has no form", "torch.sqrt"),
    "one value": (lambda x, v: (spike(x.max()), v), "max in its step", "use +"),
    "in place": (lambda x, v: (spike(v.mul_(0.5)), v), "mul_ in its step changes", "v = v.mul"),
    "values": (lambda x, v: (2 * spike(x), v), "not 0 or 1", "return spike(v - threshold)"),
    "a membrane": (lambda x, v: (v, 0.5 * v + x), "not 0 or 1", ""),
    "no state": (lambda x, v: spike(x), "its step returns 1 values", ""),
    "a constant": (lambda x, v: (spike(x), torch.ones_like(v)), "'v' of its step depends on", ""),
    "a text": (lambda x, v: (spike(x), v + "a"), "its step computes with 'a'", ""),
}


@pytest.mark.parametrize("case", REFUSED)
def test_steps_that_are_refused(case):
    step, text, remedy = REFUSED[case]
    with pytest.raises(ConfigError) as found:
        cell(step)
    assert text in f"{found.value.what}: {found.value.why}"
    assert remedy in found.value.remedy


def test_names_and_schedules_that_are_refused():
    with pytest.raises(ConfigError, match="'rest' cannot be the name of a state"):
        cell(leaky, ["rest"])
    with pytest.raises(ConfigError, match="its 'gain' has 3 steps instead of 6"):
        cell(lambda x, v, *, gain: (spike(gain * x), v), gain=torch.ones(3))


class Stepped(nn.Module):
    """A neuron of a step, with a parameter of each step."""

    def __init__(self, step, states):
        super().__init__()
        self.step, self.states = step, states
        self.gain = nn.Parameter(torch.linspace(0.7, 1.3, 3))

    def scaled(self, x, *states, gain):
        return self.step(gain * x, *states)

    def forward(self, x):
        return in_torch(self.scaled, x, self.states, gain=self.gain)

    def lower(self, graph, name):
        states = [f"state{i}" for i in range(self.states)]
        graph.cell(name, self.scaled, states=states, schedules={"gain": self.gain})


def source(name="adaptive"):
    model = network("mlp", steps=3, coding="direct", features=[14])
    torch.manual_seed(1)
    for layer in model.body:
        if isinstance(layer, SpikingLayer):
            layer.neuron = Stepped(*STEPS[name])
    return source_of(model.eval())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
@pytest.mark.parametrize("name", STEPS)
def test_files_of_every_form(tmp_path, name, form):
    for input in ("image", "spikes"):
        done = export_onnx(
            source(name), tmp_path / input, samples=random_samples((2, 6, 6), 40), form=form,
            input=input,
        )  # fmt: skip
        assert done.report.verified and not done.report.quiet
        assert done.report.driven.neurons["spikes1"] == (1.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("field", ["constants", "schedules"])
def test_a_changed_number_is_found(tmp_path, field):
    made = source("leaky")
    node = made.graph.neurons[0]
    changed = replace(
        node, **{field: tuple(part * np.float32(1.01) for part in getattr(node, field))}
    )
    wrong = made.with_graph(made.graph.with_nodes({node.name: changed}))
    with pytest.raises(VerificationError, match="layer spikes1, step "):
        export_onnx(wrong, tmp_path, samples=random_samples((2, 6, 6), 200))


def test_a_margin_grows_with_steps_and_values():
    node = source("leaky").graph.neurons[0]
    assert isinstance(node, Cell)
    graph = source("leaky").graph
    code = np.full((3, 2, 2, 6, 6), 0.5, np.float32)
    code[:, 1] *= 100
    trace = run(graph, code)
    small, large = margin_in(node, trace)
    assert 3 * MARGIN <= small < large


def test_nir_has_no_such_neuron(tmp_path):
    with pytest.raises(ConfigError, match="equations of its own, which NIR cannot") as found:
        export_nir(source("leaky"), tmp_path, samples=None)
    assert found.value.remedy == "use --format onnx"
