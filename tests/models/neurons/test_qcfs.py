"""The clipped and quantised ReLU: its formula, its gradients, and the spikes that it becomes."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.exporters import export_nir, export_onnx, source_of
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import INPUT, Graph
from asnn.exporters.graph.lowering import lower_part
from asnn.exporters.source import random_samples
from asnn.measure import SpikeRates
from asnn.measure.cost.operations import Operations
from asnn.models import create_model, use_kernels
from asnn.models.neurons.integrate import Integrate
from asnn.models.neurons.qcfs import MIN_SCALE, Qcfs


def inputs(count=100_000, low=-1.0, high=8.0):
    generator = torch.Generator().manual_seed(0)
    return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(1, 40),
    st.floats(0.05, 20),
    st.lists(st.floats(-30, 30), min_size=1, max_size=5),
)
def test_it_is_the_formula(levels, scale, values):
    """Written out in NumPy, in the precision of the module's scale."""
    x = torch.tensor(values, dtype=torch.float64)
    s = float(np.float32(scale))
    found = Qcfs(1, levels=levels, scale=scale)(x.view(1, -1)).detach().numpy()[0]
    k = np.floor(x.numpy() * (levels / s) + 0.5)
    np.testing.assert_allclose(found, s * np.clip(k / levels, 0, 1), rtol=1e-12, atol=1e-12)
    assert found.min() >= 0 and found.max() <= s * (1 + 1e-12)


def test_gradients_are_those_stated():
    """∂a/∂x = 1 and ∂a/∂s = (a - x) / s on the levels 0 to L; below 0, 0 and above L, 1."""
    neuron = Qcfs(1, levels=4, scale=2.0).double()
    #            k = -1, 0,    0,    1,   3,   4,   4,    5
    x = torch.tensor(
        [[-0.3, -0.2, 0.2, 0.3, 1.5, 1.9, 2.2, 2.3]], dtype=torch.float64, requires_grad=True
    )
    weight = torch.arange(1.0, 9, dtype=torch.float64)
    out = neuron(x)
    (out * weight).sum().backward()
    inside = torch.tensor([0, 1, 1, 1, 1, 1, 1, 0], dtype=torch.float64)
    assert torch.equal(x.grad[0], weight * inside)
    of_scale = torch.where(inside > 0, (out - x)[0] / 2, 0.0)
    of_scale[-1] = 1.0
    expected = float((weight * of_scale).sum().detach())
    assert float(neuron.raw_scale.grad) == pytest.approx(expected, rel=1e-12)
    # Negative control: the derivative without the quantisation, that of clip(x, 0, s), is another.
    assert abs(float(weight[-2:].sum()) - expected) > 0.1


def test_gradients_of_each_channel():
    neuron = Qcfs(1, 3, levels=2, granularity="channel")
    x = 6 * torch.rand(2, 5, 3, 4, 4)
    neuron(x).sum().backward()
    for channel in range(3):
        one = Qcfs(1, levels=2)
        one(x[:, :, channel]).sum().backward()
        torch.testing.assert_close(neuron.raw_scale.grad[channel], one.raw_scale.grad)


def test_its_gradient_keeps_the_scale_above_its_bound():
    neuron = Qcfs(1, levels=1, scale=MIN_SCALE)
    neuron(torch.full((1, 3), 5.0)).sum().backward()  # descent would lower s
    assert float(neuron.raw_scale.grad) == 0
    neuron.raw_scale.grad = None
    (-neuron(torch.full((1, 3), 5.0))).sum().backward()
    assert float(neuron.raw_scale.grad) == -3
    with torch.no_grad():
        neuron.raw_scale.fill_(-1.0)
    assert float(neuron.limit.detach()) == pytest.approx(MIN_SCALE)


def difference(steps, levels, fraction, most=1, scale=4.0):
    """Return the greatest difference of the mean output of spikes and the activation."""
    x = inputs()
    neuron = Integrate(steps, most=most, fraction=fraction).double()
    ann = Qcfs(1, levels=levels, scale=scale).double()
    with torch.no_grad():
        neuron.use_limit(ann.limit)
        return float((neuron(x.expand(steps, -1)).mean(0) - ann(x)).abs().max())


@pytest.mark.parametrize(
    "steps, most, scale", [(8, 1, 4.0), (16, 1, 4.0), (5, 3, 4.0), (7, 1, 3.3)]
)
def test_spikes_of_constant_input_are_the_activation(steps, most, scale):
    """α = 1/2 and L = m T: equal in float64 but for the rounding of sums."""
    assert difference(steps, most * steps, 0.5, most, scale) < 1e-12


@pytest.mark.parametrize("steps, levels, fraction", [(4, 8, 0.5), (16, 8, 0.5), (8, 8, 1.0)])
def test_with_other_steps_or_another_fraction_they_are_not(steps, levels, fraction):
    """The negative control."""
    assert difference(steps, levels, fraction) > 0.2


def test_integer_levels_are_one_apart_where_the_membrane_meets_its_threshold():
    """x L / s + 1/2 whole: a spike needs more than the threshold, the level does not."""
    x = torch.tensor([0.25, 0.75], dtype=torch.float64)
    neuron = Integrate(4, fraction=0.5, amplitude=2.0).double()
    ann = Qcfs(1, levels=4, scale=2.0).double()
    assert ann(x.view(1, -1)).tolist() == [[0.5, 1.0]]
    assert neuron(x.expand(4, -1)).mean(0).tolist() == [0.0, 0.5]


def ann(**options):
    return create_model(
        "lenet", in_shape=(1, 8, 8), classes=3, coding="direct", steps=1, neuron="qcfs",
        output_scale=False, widths=[4], hidden=8, **options,
    )  # fmt: skip


def test_a_network_of_it_is_an_ann():
    """No spikes, products instead of sums, and no fused kernel, as of ReLU."""
    model, x = ann().eval(), torch.rand(4, 1, 8, 8)
    with SpikeRates(model) as rates, Operations(model) as operations, torch.no_grad():
        model(x)
    assert rates.by_layer() == {}
    assert {layer.operation for layer in operations.counts().layers} == {"mac"}
    use_kernels(model, "fused")
    with pytest.raises(ConfigError, match="fused kernel for Qcfs"):
        model(x)


@pytest.mark.parametrize("granularity", ["layer", "channel"])
@pytest.mark.parametrize("levels", [1, 4, 16])
def test_its_nodes_have_the_same_levels_also_where_a_value_lies_between_two(granularity, levels):
    """Inputs are multiples of a half level, so that every other one lies between two."""
    neuron = Qcfs(1, 4, levels=levels, scale=2.0, granularity=granularity)
    if granularity == "channel":
        neuron.raw_scale.data = torch.tensor([0.5, 1.0, 2.0, 4.0])
    numbers = torch.arange(-4, 4 * levels + 8)
    x = (numbers.view(-1, 1) / (2 * levels) * neuron.limit.expand(4)).detach()[None]
    lowering = lower_part(neuron, "neuron", "spikes", INPUT, 1)
    graph = Graph(tuple(lowering.nodes), in_shape=(4,), steps=1, static=False, about={})
    found = run(graph, x.numpy())
    with torch.no_grad():
        activations = neuron(x)
        number = neuron.node_value(activations)
    assert np.array_equal(found.values[graph.output], activations.numpy())
    assert np.array_equal(found.values["spikes"], number.numpy())
    between = found.distances["spikes"] == 0
    assert between.sum() >= 4 * levels
    # Negative control: a neuron that counts from the other side has another level there.
    plain = torch.from_numpy(np.ceil(x.numpy() / neuron.limit.detach().numpy() * levels - 0.5))
    plain = plain.clamp(0, levels)
    assert int((plain != levels - number).sum()) == 4 * levels


@pytest.mark.slow
@pytest.mark.parametrize("write, pool", [(export_onnx, "max"), (export_nir, "mean")])
def test_an_ann_of_it_is_exported(tmp_path, write, pool):
    source = source_of(ann(pool=pool).eval())
    report = write(source, tmp_path, samples=random_samples((1, 8, 8), 16)).report
    assert report.verified


@pytest.mark.parametrize(
    "options, message",
    [
        ({"levels": 0}, "levels must be from 1 to 65,535, not 0"),
        ({"scale": 0.001}, "scale must be at least 0.01 and finite, not 0.001"),
        ({"scale": float("nan")}, "scale must be at least 0.01"),
        ({"granularity": "neuron"}, "unknown granularity 'neuron'"),
        ({"granularity": "channel"}, "needs the number of channels"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        Qcfs(1, **options)


def test_limits_of_channels_need_amplitudes_of_channels():
    limit = Qcfs(1, 3, granularity="channel", scale=2.0).limit
    by_channel = Integrate(4, 3, most=2, granularity="channel")
    by_channel.use_limit(limit)
    assert by_channel.amplitude.tolist() == [1.0, 1.0, 1.0]
    by_channel.use_limit(torch.tensor(4.0))
    assert by_channel.amplitude.tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(ConfigError, match="greatest activation of each channel") as caught:
        Integrate(4, 3).use_limit(limit)
    assert caught.value.remedy == "set neuron.granularity=channel"
