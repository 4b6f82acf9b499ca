"""The integrating neuron: its closed form, its special cases, its gradients, its options."""

import pytest
import torch

from asnn.core import ConfigError
from asnn.models import create_model
from asnn.models.neurons import AdaptiveLeaky
from asnn.models.neurons.functional.integrate import IntegrateState
from asnn.models.neurons.integrate import MIN_AMPLITUDE, Integrate
from asnn.models.neurons.registry import neuron_registry

STEPS = 8


def closed_form(x, amplitude, most, fraction, steps=STEPS):
    """Σ_t k_t for a constant input 0 ≤ x ≤ m V (SYSTEMS-1, section 2)."""
    return (steps * x / amplitude - fraction).ceil().clamp(0, most * steps)


def counts(neuron, x):
    """Σ_t k_t of a constant input."""
    out = neuron(x.expand(STEPS, *x.shape))
    k = out / neuron.amplitude
    torch.testing.assert_close(k, k.round(), atol=1e-9, rtol=0)
    assert float(k.min()) >= 0 and float(k.max()) <= neuron.most
    return k.round().sum(0)


@pytest.mark.parametrize("most, fraction", [(1, 1.0), (1, 0.5), (5, 1.0), (3, 0.5)])
@pytest.mark.parametrize("amplitude", [1.0, 0.3, 6.0])
def test_a_constant_input_gives_the_closed_form(most, fraction, amplitude):
    torch.manual_seed(0)
    neuron = Integrate(STEPS, most=most, fraction=fraction, amplitude=amplitude).double()
    v = neuron.amplitude
    x = torch.rand(2000, dtype=torch.float64) * most * v
    assert torch.equal(counts(neuron, x), closed_form(x, v, most, fraction))


def test_one_spike_a_step_saturates_where_five_do_not():
    """Negative control of the closed form: above V, m = 1 gives T spikes, not those of m = 5."""
    x = torch.linspace(1.01, 4.9, 50, dtype=torch.float64)
    one, five = (Integrate(STEPS, most=most).double() for most in (1, 5))
    assert torch.equal(counts(one, x), torch.full_like(x, STEPS))
    assert torch.equal(counts(five, x), closed_form(x, five.amplitude, 5, 1.0))
    assert not torch.equal(counts(one, x), counts(five, x))


@pytest.mark.parametrize("surrogate", ["sigmoid", "atan", "fast_sigmoid"])
def test_it_is_a_leaky_neuron_without_leak(surrogate):
    """m = 1, α = 1, V = 1: outputs and gradients of `AdaptiveLeaky` with leak 1 and gain 1."""
    torch.manual_seed(0)
    x = torch.randn(STEPS, 4, 3) + 0.4
    theirs = AdaptiveLeaky(STEPS, leak=1.0, gain=1.0, surrogate=surrogate)
    mine = Integrate(STEPS, surrogate=surrogate)
    gradients = []
    for neuron in (theirs, mine):
        values = x.clone().requires_grad_()
        out = neuron(values)
        (out * torch.arange(out.numel()).view(out.shape)).sum().backward()
        gradients.append((out.detach(), values.grad))
    assert 0.1 < float(gradients[0][0].mean()) < 0.9
    assert torch.equal(gradients[0][0], gradients[1][0])
    torch.testing.assert_close(gradients[0][1], gradients[1][1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [0.3, 0.7, 1.1, 3.3])
def test_no_rounding_moves_a_spike(size):
    """Of membranes one step of float32 around V, as `v > V` decides."""
    v = torch.tensor(size)
    around = [torch.nextafter(v, torch.tensor(-9.0)), v, torch.nextafter(v, torch.tensor(9.0))]
    x = torch.stack(around).view(1, 3)
    expected = [0.0, 0.0, float(v)]
    for gradient in ("surrogate", "triangle", "straight-through"):
        neuron = Integrate(1, amplitude=size, most=3, gradient=gradient)
        assert neuron(x).flatten().tolist() == expected


def test_a_threshold_below_the_size_is_the_sized_reset():
    """α = 1/2: `AdaptiveLeaky` fires above half its reset size and then subtracts all of it."""
    torch.manual_seed(0)
    x = torch.rand(STEPS, 50, 3)
    theirs = AdaptiveLeaky(STEPS, leak=1.0, gain=1.0, learn_reset_size=True, threshold=0.5)
    assert torch.equal(theirs(x), Integrate(STEPS, fraction=0.5)(x))


def test_leak_and_gain():
    """λ = 1/2, γ = 2 by hand: v = 1, 1.5 → spike → 0.5, 0.25 + 1 → spike."""
    neuron = Integrate(3, leak=0.5, gain=2.0)
    x = torch.tensor([0.5, 0.5, 0.5]).view(3, 1)
    assert neuron(x).flatten().tolist() == [0.0, 1.0, 1.0]


def reference(x, v_size, most, fraction, leak, gain, slope):
    """Outputs of T steps in float64; `slope` gives d k / d (v, V) to every step by hand."""
    v, outputs = torch.zeros_like(x[0]), []
    for step in x:
        v = leak * v + gain * step
        k = (v.detach() / v_size.detach() - fraction).ceil().clamp(0, most)
        # A value k, with the wanted derivatives of a function that is 0 here.
        surrogate = slope(v, v_size)
        k = k + surrogate - surrogate.detach()
        outputs.append(v_size * k)
        v = v - v_size * k
    return torch.stack(outputs)


def sum_of_sigmoids(most, fraction, alpha):
    """Σ_{j<m} σ(α (v - (f + j) V)), whose derivative is the sum of the m surrogates."""
    return lambda v, size: sum((alpha * (v - (fraction + j) * size)).sigmoid() for j in range(most))


def clipped(most, fraction):
    """⌈·⌉ with derivative 1, then clip: 1 / V inside the range, nothing outside."""

    def slope(v, size):
        inner = v / size - fraction
        count = inner.detach().ceil()
        return inner * ((count >= 0) & (count <= most))

    return slope


def sum_of_triangles(most, fraction):
    """Σ_{j<m} S(v / V - f - j), S the integral of max(0, 1 - |u|), from 0 to 1."""

    def integral(u):
        below, above = (1 + u).clamp(0, 1), (1 - u).clamp(0, 1)
        return torch.where(u < 0, below.square() / 2, 1 - above.square() / 2)

    return lambda v, size: sum(integral(v / size - fraction - j) for j in range(most))


@pytest.mark.parametrize("granularity", ["layer", "channel"])
@pytest.mark.parametrize("gradient", ["surrogate", "triangle", "straight-through"])
@pytest.mark.parametrize("most, fraction", [(1, 1.0), (4, 0.5)])
def test_gradients_of_input_and_amplitude(gradient, most, fraction, granularity):
    torch.manual_seed(0)
    alpha, leak, gain = 3.0, 0.9, 0.7
    x = 2 * torch.rand(5, 6, 3, 2, 2, dtype=torch.float64)
    neuron = Integrate(
        5, 3, most=most, fraction=fraction, amplitude=0.6, learn_amplitude=True, leak=leak,
        gain=gain, granularity=granularity, gradient=gradient, alpha=alpha,
    ).double()  # fmt: skip
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    size = neuron.raw_amplitude.detach().clone().requires_grad_()
    slope = {
        "surrogate": sum_of_sigmoids(most, fraction, alpha),
        "triangle": sum_of_triangles(most, fraction),
        "straight-through": clipped(most, fraction),
    }[gradient]
    shaped = size.view(-1, 1, 1) if granularity == "channel" else size
    expected = reference(theirs, shaped, most, fraction, leak, gain, slope)
    out = neuron(mine)
    torch.testing.assert_close(out, expected)
    weights = torch.randn_like(out)
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    assert float(theirs.grad.abs().max()) > 0.1
    torch.testing.assert_close(mine.grad, theirs.grad)
    torch.testing.assert_close(neuron.raw_amplitude.grad, size.grad)
    # Negative control: with a slope a tenth greater they differ.
    again = x.clone().requires_grad_()
    steeper = reference(
        again, shaped.detach(), most, fraction, leak, gain, lambda v, size: 1.1 * slope(v, size)
    )
    (steeper * weights).sum().backward()
    assert float((again.grad - mine.grad).abs().max()) > 1e-3


def test_step_by_step_equals_all_steps():
    torch.manual_seed(0)
    x = 3 * torch.rand(STEPS, 2, 3, 4, 4)
    neuron = Integrate(STEPS, 3, most=3, amplitude=0.7, granularity="channel")
    mem, outputs = neuron.init_integrate(), []
    for x_t in x:
        out, mem = neuron(x_t, mem)
        outputs.append(out)
    assert torch.equal(torch.stack(outputs), neuron(x))
    assert isinstance(mem, IntegrateState) and mem.v.shape == x.shape[1:]
    with pytest.raises(TypeError, match="begin with mem = neuron.init_integrate"):
        neuron(x[0], torch.zeros(1))


def test_amplitude_and_most_say_what_the_output_is():
    neuron = Integrate(4, 3, most=5, amplitude=0.25, granularity="channel")
    assert neuron.most == 5 and neuron.amplitude.tolist() == [0.25] * 3
    assert Integrate(4, 3).amplitude.shape == () and Integrate(4).most == 1
    out = neuron(torch.rand(4, 2, 3))
    assert out.dtype == torch.float32 and neuron(torch.rand(4, 2, 3).half()).dtype == torch.half
    assert not bool(out.signbit().any())  # no -0, which is not a spike's 0 bit for bit
    assert neuron(torch.zeros(0, 2, 3)).shape == (0, 2, 3)


def test_a_learned_amplitude_stays_above_its_bound():
    neuron = Integrate(4, learn_amplitude=True, amplitude=0.02)
    optimizer = torch.optim.SGD(neuron.parameters(), 1.0)
    for _ in range(3):
        optimizer.zero_grad()
        neuron.amplitude.sum().backward()
        optimizer.step()
    assert float(neuron.amplitude.detach()) == pytest.approx(MIN_AMPLITUDE)
    assert float(neuron.raw_amplitude.grad) == 0  # it does not move further down
    (-neuron.amplitude.sum()).backward()
    assert float(neuron.raw_amplitude.grad) == -1  # and can come back


def test_a_network_of_it_runs_and_has_its_amplitude_in_the_file():
    model = create_model(
        "lenet", in_shape=(1, 8, 8), classes=10, coding="direct", steps=3, neuron="integrate",
        neuron_options={"most": 3, "amplitude": 0.5},
    )  # fmt: skip
    assert model(torch.rand(2, 1, 8, 8)).shape == (3, 2, 10)
    assert float(model.state_dict()["body.spikes1.neuron.raw_amplitude"]) == 0.5
    assert neuron_registry.get("integrate") is Integrate


@pytest.mark.parametrize(
    "options, message",
    [
        ({"most": 0}, "most must be from 1 to 255, not 0"),
        ({"most": 256}, "most must be from 1 to 255, not 256"),
        ({"fraction": 0.0}, "fraction must be above 0 and at most 1, not 0.0"),
        ({"fraction": 1.5}, "fraction must be above 0 and at most 1, not 1.5"),
        ({"leak": 1.1}, "leak must be above 0 and at most 1, not 1.1"),
        ({"gain": 0.0}, "gain must be above 0, not 0.0"),
        ({"amplitude": -1.0}, "amplitude must be above 0, not -1.0"),
        ({"alpha": 0.0}, "alpha must be above 0, not 0.0"),
        ({"amplitude": 0.001, "learn_amplitude": True}, "stays at 0.01 or above, not 0.001"),
        ({"gradient": "floor"}, "unknown gradient 'floor'"),
        ({"surrogate": "boxcar"}, "unknown surrogate 'boxcar'"),
        ({"granularity": "pixel"}, "unknown granularity 'pixel'"),
        ({"granularity": "channel"}, "granularity 'channel' needs the number of channels"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ConfigError) as caught:
        Integrate(4, **options)
    assert message in str(caught.value)


def test_other_channels_are_refused():
    neuron = Integrate(4, 3, granularity="channel")
    with pytest.raises(ConfigError, match="amplitudes for 3 channels, the input has 5"):
        neuron(torch.zeros(4, 2, 5))
