"""Neurons that are differentiated on their spike representation: the published formulas, the nodes
of SpikingJelly, memory, refusals."""

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.models.neurons.functional import representation
from asnn.models.neurons.functional.count import IntegrateOptions
from asnn.models.neurons.functional.representation import decayed_mean, slope, threshold_scale
from asnn.models.neurons.integrate import MIN_AMPLITUDE, Integrate

# Of the published LIF neuron: T, dt, tau, threshold, fraction. The last has a dt that is no unit.
LIF = [(20, 0.05, 1.0, 0.3, 0.3), (5, 0.1, 1.0, 0.6, 0.5), (20, 1 / 16, 1.0, 0.3, 0.3),
       (7, 1.0, 2.0, 0.6, 0.5)]  # fmt: skip


def represented(steps, amplitude, fraction, **options):
    return Integrate(
        steps, amplitude=amplitude, fraction=fraction, gradient="representation",
        learn_amplitude=True, **options,
    )  # fmt: skip


def lif(steps, dt, tau, threshold, fraction, **options):
    """The published LIF neuron in units of its output: the membrane and V are divided by dt."""
    leak = math.exp(-dt / tau)
    return represented(steps, threshold / dt, fraction, leak=leak, gain=(1 - leak) / dt, **options)


def inputs(steps, shape=(32, 50), dtype=torch.float32, spread=4.0):
    """Means over the steps below 0, inside and above any V of these tests."""
    generator = torch.Generator().manual_seed(steps)
    level = 12 * torch.rand(shape, generator=generator, dtype=dtype) - 3
    return level + spread * torch.randn(steps, *shape, generator=generator, dtype=dtype)


def derivatives(neuron, threshold, x):
    """Outputs, the gradient of the input and that of the threshold, of a weighted sum."""
    x = x.clone().requires_grad_()
    out = neuron(x)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(9), dtype=x.dtype)
    (out * (1 + weights)).sum().backward()
    return out.detach(), x.grad, threshold.grad


def assert_equal_gradients(mine, theirs, factor=1.0, rounding=1.2e-7):
    scale = float(theirs[1].abs().max())
    assert scale > 0 and float((theirs[1] == 0).float().mean()) > 0.1
    torch.testing.assert_close(mine[1], theirs[1], rtol=0, atol=rounding * scale)
    torch.testing.assert_close(mine[2], theirs[2] * factor, rtol=2e-6, atol=0)


@pytest.fixture(scope="module")
def nodes():
    return pytest.importorskip(
        "spikingjelly.activation_based.neuron", reason="SpikingJelly is not installed"
    )


@pytest.mark.parametrize("steps", [1, 5, 20])
@pytest.mark.parametrize("amplitude, fraction", [(6.0, 0.5), (2.0, 0.5), (1.3, 1.0)])
def test_it_is_the_if_node_of_spikingjelly(nodes, steps, amplitude, fraction):
    x = inputs(steps)
    theirs = nodes.DSRIFNode(T=steps, v_threshold=amplitude, alpha=fraction)
    mine = represented(steps, amplitude, fraction)
    expected = derivatives(theirs, theirs.v_threshold, x)
    found = derivatives(mine, mine.raw_amplitude, x)
    assert 0.1 < float((expected[0] > 0).float().mean()) < 0.9
    assert torch.equal(found[0], expected[0])
    assert_equal_gradients(found, expected)


@pytest.mark.parametrize("steps, dt, tau, threshold, fraction", LIF)
def test_it_is_the_lif_node_of_spikingjelly(nodes, steps, dt, tau, threshold, fraction):
    """∂L/∂V times dt, the derivative of the published threshold V dt by V."""
    x = inputs(steps)
    theirs = nodes.DSRLIFNode(
        T=steps, v_threshold=threshold, tau=tau, delta_t=dt, alpha=fraction,
        v_threshold_lower_bound=0.0005,
    )  # fmt: skip
    mine = lif(steps, dt, tau, threshold, fraction)
    expected = derivatives(theirs, theirs.v_threshold, x)
    found = derivatives(mine, mine.raw_amplitude, x)
    assert 0.05 < float((expected[0] > 0).float().mean()) < 0.95
    spikes = [values / values.max() for values in (found[0], expected[0])]
    torch.testing.assert_close(*spikes, rtol=1e-6, atol=0)
    if math.log2(dt).is_integer():  # a unit that is a power of two rounds nothing
        assert torch.equal(found[0], expected[0])
    assert_equal_gradients(found, expected, factor=dt, rounding=5e-7)  # sums in another order


@pytest.mark.parametrize("gradient", ["surrogate", "straight-through"])
def test_another_gradient_does_not_pass_the_comparison(nodes, gradient):
    """Negative control: the same spikes, other gradients."""
    x = inputs(5)
    theirs = nodes.DSRIFNode(T=5, v_threshold=2.0, alpha=0.5)
    mine = Integrate(5, amplitude=2.0, fraction=0.5, learn_amplitude=True, gradient=gradient)
    expected = derivatives(theirs, theirs.v_threshold, x)
    found = derivatives(mine, mine.raw_amplitude, x)
    assert torch.equal(found[0], expected[0])
    with pytest.raises(AssertionError):
        assert_equal_gradients(found, expected)


def published(x, grads, amplitude, leak, rate, scale):
    """The gradients by their formulas, neuron by neuron in a loop; `rate` is 1/τ."""
    steps, count = x.shape
    weights = torch.tensor([leak ** (steps - 1 - t) for t in range(steps)], dtype=x.dtype)
    weights /= weights.sum()
    of_x, of_v = torch.zeros_like(x), 0.0
    for i in range(count):
        mean = float((weights * x[:, i]).sum()) * rate
        total = steps * float((weights * grads[:, i]).sum())
        inside = 0 <= mean <= amplitude if leak == 1 else 0 < mean < amplitude
        above = mean > amplitude if leak == 1 else mean >= amplitude
        of_x[:, i] = rate * total / steps * inside
        of_v += scale * total * above
    return of_x, of_v


@pytest.mark.parametrize("threshold_gradient", ["scaled", "exact"])
@pytest.mark.parametrize("dt", [None, 0.05, 0.1])
def test_the_gradients_are_the_published_formulas(dt, threshold_gradient):
    tau, x = 1.6, inputs(6, (400,), torch.float64)
    options = {"threshold_gradient": threshold_gradient}
    mine = (
        represented(6, 3.0, 0.5, **options)
        if dt is None
        else lif(6, dt, tau, 3 * dt, 0.5, **options)
    )
    mine = mine.double()
    values = x.clone().requires_grad_()
    out = mine(values)
    grads = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype) + 0.5
    out.backward(grads)
    leak, rate = (1.0, 1.0) if dt is None else (math.exp(-dt / tau), 1 / tau)
    scale = 1.0 if dt is None or threshold_gradient == "exact" else dt**2
    of_x, of_v = published(x, grads, 3.0, leak, rate, scale)
    torch.testing.assert_close(values.grad, of_x, rtol=1e-12, atol=1e-14)
    assert float(mine.raw_amplitude.grad) == pytest.approx(of_v, rel=1e-6)
    assert float((of_x == 0).double().mean()) > 0.2 and abs(of_v) > 1e-3


def test_a_saturated_neuron_passes_nothing_to_its_input(monkeypatch):
    """Negative control: without the indicator, its gradient is that of all others."""
    neuron = represented(5, 2.0, 0.5)

    def gradients():
        x = torch.full((5, 1), 2.5, requires_grad=True)
        neuron.zero_grad()
        neuron(x).sum().backward()
        return x.grad.flatten().tolist(), float(neuron.raw_amplitude.grad)

    assert gradients() == ([0.0] * 5, 5.0)
    monkeypatch.setattr(
        representation, "region", lambda x, *_: torch.zeros_like(x[0], dtype=torch.int8)
    )
    assert gradients() == ([1.0] * 5, 0.0)


@pytest.mark.parametrize("value, of_x", [(-0.1, 0.0), (0.0, 1.0), (2.0, 1.0), (2.1, 0.0)])
def test_borders_without_a_leak_belong_to_the_inside(value, of_x):
    x = torch.full((4, 1), value, requires_grad=True)
    neuron = represented(4, 2.0, 0.5)
    neuron(x).sum().backward()
    assert float(x.grad[0]) == of_x
    assert float(neuron.raw_amplitude.grad) == (4.0 if value > 2 else 0.0)


def test_borders_with_a_leak_belong_to_the_outside():
    leak = 0.5
    gain = (1 - leak) / -math.log(leak)  # slope 1
    for value, of_v in ((0.0, 0.0), (2.0, 4.0)):
        x = torch.full((4, 1), value, dtype=torch.float64, requires_grad=True)
        neuron = represented(4, 2.0, 0.5, leak=leak, gain=gain, threshold_gradient="exact").double()
        assert slope(neuron.options) == 1.0
        neuron(x).sum().backward()
        assert float(x.grad[0]) == 0.0 and float(neuron.raw_amplitude.grad) == of_v


@pytest.mark.parametrize("dt", [0.05, 0.1])
def test_the_exact_derivative_is_that_of_a_saturated_output(dt):
    """By finite differences: 1 by V, which is 1/dt by the published threshold V dt."""
    x = torch.full((20, 1), 50.0, dtype=torch.float64)

    def mean(threshold):
        neuron = lif(20, dt, 1.0, threshold, 0.3).double()
        with torch.no_grad():
            neuron.raw_amplitude.fill_(threshold / dt)
            return float(neuron(x).mean())

    by_threshold = (mean(0.3 + 1e-4) - mean(0.3 - 1e-4)) / 2e-4
    assert by_threshold == pytest.approx(1 / dt)
    for name, by_amplitude in (("exact", 1.0), ("scaled", dt**2)):
        neuron = lif(20, dt, 1.0, 0.3, 0.3, threshold_gradient=name).double()
        neuron(x).mean().backward()
        assert float(neuron.raw_amplitude.grad) == pytest.approx(by_amplitude)
        assert threshold_scale(neuron.options) == pytest.approx(by_amplitude)


@pytest.mark.parametrize("steps", [5, 20, 200])
def test_the_mean_output_approaches_the_representation(steps):
    """Without a leak within V / T for constant inputs; with one of dt = 1/T it approaches too."""
    x = torch.linspace(-1, 8, 500, dtype=torch.float64).expand(steps, 500)
    with torch.no_grad():
        error = represented(steps, 6.0, 0.5).double()(x).mean(0) - x[0].clamp(0, 6)
        assert float(error.abs().max()) <= 6 / steps
        neuron = lif(steps, 1 / steps, 1.0, 6 / steps, 0.3).double()
        error = decayed_mean(neuron(x), neuron.options.leak) - x[0].clamp(0, 6)
    assert float(error.abs().mean()) <= 3 / steps


def test_the_error_of_the_published_leaky_neuron():
    """T = 20, dt = 0.05: mean 0.08, at most about 0.31 of a range of 6 for constant inputs."""
    x = torch.linspace(-1, 8, 9001, dtype=torch.float64).expand(20, 9001)
    with torch.no_grad():
        neuron = lif(*LIF[0]).double()
        error = (decayed_mean(neuron(x), neuron.options.leak) - x[0].clamp(0, 6)).abs()
    assert float(error.mean()) == pytest.approx(0.08, abs=0.005)
    assert float(error.max()) == pytest.approx(0.31, abs=0.02)


@pytest.mark.slow
@given(
    steps=st.integers(0, 6),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    amplitude=st.floats(0.05, 4),
    fraction=st.floats(0.1, 1),
    leak=st.sampled_from([1.0, 0.9, 0.3]),
    gain=st.sampled_from([1.0, 0.4]),
    seed=st.integers(0, 99),
)
def test_forward_is_that_of_the_other_gradients(
    steps, shape, amplitude, fraction, leak, gain, seed
):
    x = 3 * torch.randn(steps, *shape, generator=torch.Generator().manual_seed(seed))
    options = {"amplitude": amplitude, "fraction": fraction, "leak": leak, "gain": gain}
    mine = Integrate(6, gradient="representation", **options)
    values = x.clone().requires_grad_()
    out = mine(values)
    assert torch.equal(out, Integrate(6, **options)(x)) and not bool(out.signbit().any())
    out.sum().backward()
    assert values.grad.shape == x.shape and bool(torch.isfinite(values.grad).all())
    if steps:  # step by step, without gradients
        mem, outputs = mine.init_integrate(), []
        for x_t in x:
            step, mem = mine(x_t, mem)
            outputs.append(step)
        assert torch.equal(torch.stack(outputs), out)


def saved_bytes(neuron, steps, shape=(8, 30)):
    """Bytes that the forward pass keeps for the backward pass."""
    kept = {}
    x = torch.randn(steps, *shape, requires_grad=True)

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        neuron(x)
    return sum(kept.values())


@pytest.mark.parametrize("leak", [1.0, 0.9])
def test_the_backward_pass_keeps_a_byte_a_neuron_for_any_number_of_steps(leak):
    found = [saved_bytes(represented(t, 2.0, 0.5, leak=leak), t) for t in (4, 16, 64)]
    assert found[0] == found[1] == found[2] <= 8 * 30 + 16  # and the scalar of the clamp
    # Negative control: surrogates keep the membranes of all steps.
    grown = [saved_bytes(Integrate(t, amplitude=2.0), t) for t in (4, 16, 64)]
    assert grown[2] > 10 * grown[0] > 10 * found[0]


def test_amplitudes_by_channel_get_the_sums_of_their_channels():
    x = inputs(5, (8, 3, 4, 4))
    together = represented(5, 2.0, 0.5, channels=3, granularity="channel")
    together(x).sum().backward()
    for channel in range(3):
        alone = represented(5, 2.0, 0.5)
        alone(x[:, :, channel]).sum().backward()
        assert float(alone.raw_amplitude.grad) == pytest.approx(
            float(together.raw_amplitude.grad[channel]), rel=1e-5
        )
        assert float(alone.raw_amplitude.grad) != 0


def test_an_amplitude_that_falls_is_held_at_its_bound():
    """A gradient that would move it further down is 0; one that moves it up is kept."""
    neuron = represented(5, MIN_AMPLITUDE, 0.5)
    neuron(torch.ones(5, 2)).sum().backward()  # more output is more loss: V is to fall
    assert float(neuron.raw_amplitude.grad) == 0
    (-neuron(torch.ones(5, 2))).sum().backward()
    assert float(neuron.raw_amplitude.grad) == -10


def test_another_number_of_steps_than_that_of_the_neuron():
    x = torch.full((3, 2), 0.7, requires_grad=True)
    represented(5, 2.0, 0.5)(x).sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0]] * 3


def test_half_precision_and_autocast():
    x = inputs(5).to(torch.bfloat16)
    neuron = represented(5, 2.0, 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        values = x.clone().requires_grad_()
        out = neuron(values)
    assert out.dtype == torch.bfloat16
    expected = derivatives(neuron, neuron.raw_amplitude, x.float())
    assert torch.equal(out.float(), expected[0])
    out.sum().backward()
    assert values.grad.dtype == torch.bfloat16


def test_a_single_step_has_no_representation():
    neuron = represented(4, 2.0, 0.5)
    message = r"a single step has no gradient 'representation'.*mean over all steps.*no_grad"
    with pytest.raises(ConfigError) as caught:
        neuron(torch.zeros(2, 3), neuron.init_integrate())
    assert_message(caught, message)
    with torch.no_grad():
        assert neuron(torch.ones(2, 3), neuron.init_integrate())[0].shape == (2, 3)


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"gradient": "representation", "most": 2},
            r"'representation' is not for most = 2.*at most one spike in a step.*neuron.most=1",
        ),
        (
            {"threshold_gradient": "exact"},
            r"'exact' has no effect with gradient 'surrogate'.*neuron.gradient=representation",
        ),
        (
            {"gradient": "representation", "threshold_gradient": "true"},
            r"unknown threshold_gradient 'true'",
        ),
    ],
)
def test_contradictions(options, message):
    with pytest.raises(ConfigError) as caught:
        Integrate(4, **options)
    assert_message(caught, message)


def assert_message(caught, pattern):
    error = caught.value
    text = " ".join(str(part) for part in (error, error.why, error.remedy) if part)
    assert re.search(pattern, text, re.DOTALL), text


def test_a_leaky_representation_of_slope_1_is_calibrated():
    """Its weighted mean output is the activation, up to V; of another τ it is not."""
    activations = torch.rand(1, 50, 3)
    neuron = lif(20, 0.05, 1.0, 0.3, 0.3)
    neuron.calibrate(activations, "max")
    assert float(neuron.amplitude.detach()) == pytest.approx(float(activations.max()))
    for refused in (
        lif(20, 0.05, 2.0, 0.3, 0.3),
        represented(20, 2.0, 0.5, gain=2.0),
        Integrate(20, leak=math.exp(-0.05), gain=(1 - math.exp(-0.05)) / 0.05),
    ):
        with pytest.raises(ConfigError, match="cannot be calibrated by an ANN"):
            refused.calibrate(activations)


def test_the_slope_is_one_over_tau():
    for dt, tau in ((0.05, 1.0), (0.5, 3.0)):
        leak = math.exp(-dt / tau)
        options = IntegrateOptions(leak=leak, gain=(1 - leak) / dt)
        assert slope(options) == pytest.approx(1 / tau)
    near = IntegrateOptions(leak=1 - 1e-9, gain=0.7)
    assert slope(near) == pytest.approx(slope(near._replace(leak=1.0)))
