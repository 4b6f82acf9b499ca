"""The adaptive neuron: traces worked out by hand, two forms of one function, refusals."""

import gc
import weakref

import pytest
import snntorch
import torch
from hypothesis import given
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.models import (
    AdaptiveLeaky,
    FixedLeaky,
    LeakyOptions,
    LeakyParameters,
    LeakyState,
    create_model,
    leaky_step,
    neuron_registry,
)


def with_schedules(neuron: AdaptiveLeaky, **schedules) -> AdaptiveLeaky:
    with torch.no_grad():
        for name, values in schedules.items():
            value = getattr(neuron, name)
            value.copy_(torch.tensor(values, dtype=value.dtype).reshape(value.shape))
    return neuron


def trace(neuron: AdaptiveLeaky, x: torch.Tensor) -> tuple[list, list]:
    """Spikes and membranes after the reset, computed step by step."""
    mem, spikes, membranes = neuron.init_leaky(), [], []
    for step in x:
        s, mem = neuron(step, mem)
        spikes.append(s)
        membranes.append(mem.v)
    return torch.stack(spikes).tolist(), torch.stack(membranes).tolist()


# For the input 3/2, 1/2, 1. The first leak multiplies a membrane of 0.
SCHEDULES = {"leak": [0.5, 0.25, 1.0], "gain": [1.0, 2.0, 0.5]}
INPUT = torch.tensor([[1.5], [0.5], [1.0]])


@pytest.mark.parametrize(
    ("reset", "spikes", "membranes"),
    [
        # v = 3/2 fires -> 1/2;  1/8 + 1 = 9/8 fires -> 1/8;  1/8 + 1/2 = 5/8 does not.
        ("subtract", [1, 1, 0], [0.5, 0.125, 0.625]),
        # v = 3/2 fires -> 0;  0 + 1 = 1 is not above 1;  1 + 1/2 = 3/2 fires -> 0.
        ("zero", [1, 0, 1], [0.0, 1.0, 0.0]),
        # v = 3/2 fires and stays;  3/8 + 1 = 11/8 fires;  11/8 + 1/2 = 15/8 fires.
        ("none", [1, 1, 1], [1.5, 1.375, 1.875]),
    ],
)
def test_trace_of_each_reset(reset, spikes, membranes):
    neuron = with_schedules(AdaptiveLeaky(3, reset=reset), **SCHEDULES)
    assert neuron(INPUT).flatten().tolist() == spikes
    assert trace(neuron, INPUT) == ([[s] for s in spikes], [[v] for v in membranes])


def test_trace_with_a_learnable_reset_size():
    # r = 2, 1/2, 1 and H(v/r - 1/2):
    # v = 3/2, v/r = 3/4 fires -> 3/2 - 2 = -1/2;
    # v = -1/8 + 1 = 7/8, v/r = 7/4 fires -> 7/8 - 1/2 = 3/8;
    # v = 3/8 + 1/2 = 7/8, v/r = 7/8 fires -> 7/8 - 1 = -1/8.
    neuron = with_schedules(
        AdaptiveLeaky(3, learn_reset_size=True), reset_size=[2.0, 0.5, 1.0], **SCHEDULES
    )
    assert trace(neuron, INPUT) == ([[1], [1], [1]], [[-0.5], [0.375], [-0.125]])
    # A quarter of the input: v = 3/8 (v/r = 3/16);  3/32 + 1/4 = 11/32, v/r = 11/16 fires,
    # -> 11/32 - 16/32 = -5/32;  -5/32 + 1/8 = -1/32.
    assert trace(neuron, INPUT / 4) == ([[0], [1], [0]], [[0.375], [-0.15625], [-0.03125]])


def test_trace_with_a_schedule_for_each_channel():
    neuron = with_schedules(
        AdaptiveLeaky(2, 2, granularity="channel"),
        leak=[[9.0, 9.0], [0.5, 0.25]],
        gain=[[1.0, 0.5], [1.0, 2.0]],
    )
    # Channel 1: v = 1 (not above 1);  1/2 + 1 = 3/2 fires -> 1/2.
    # Channel 2: v = 1/2;  1/8 + 2 = 17/8 fires -> 9/8.
    x = torch.ones(2, 1, 2)
    assert trace(neuron, x) == ([[[0, 0]], [[1, 1]]], [[[1.0, 0.5]], [[0.5, 1.125]]])
    # The same for images: channels follow the batch, pixels follow the channels.
    image = torch.ones(2, 3, 2, 4, 5)
    assert torch.equal(neuron(image), neuron(x)[..., None, None].expand(2, 3, 2, 4, 5))


def test_threshold_is_strict_and_can_be_chosen():
    x = torch.tensor([[1.0, 1.0 + 2**-20]])
    assert AdaptiveLeaky(1, gain=1.0)(x).tolist() == [[0, 1]]
    assert AdaptiveLeaky(1, gain=1.0, threshold=0.25)(x / 4).tolist() == [[0, 1]]


def naive(x, leak, gain, threshold, reset, size=None):
    """One value over time in Python's floats, which are float64."""
    v, spikes = 0.0, []
    for t, value in enumerate(x):
        v = leak[t] * v + gain[t] * value
        s = (v if size is None else v / size[t]) > threshold
        if reset == "zero" and s:
            v = 0.0
        elif reset == "subtract" and s:
            v -= threshold if size is None else size[t]
        spikes.append(float(s))
    return spikes


numbers = st.floats(-2, 2, allow_subnormal=False)


@pytest.mark.slow
@given(st.data(), st.integers(1, 6), st.sampled_from(["subtract", "zero", "none", "size"]))
def test_equals_a_naive_loop(data, steps, reset):
    def draw(elements=numbers):
        return data.draw(st.lists(elements, min_size=steps, max_size=steps))

    x, leak, gain, size = draw(), draw(), draw(), draw(st.floats(0.25, 2))
    threshold = data.draw(st.floats(0.1, 2))
    sized = reset == "size"
    reset = "subtract" if sized else reset
    neuron = AdaptiveLeaky(steps, reset=reset, learn_reset_size=sized).double()
    with_schedules(neuron, leak=leak, gain=gain, threshold=threshold)
    if sized:
        with_schedules(neuron, reset_size=size)
    expected = naive(x, leak, gain, threshold, reset, size if sized else None)
    spikes = neuron(torch.tensor(x, dtype=torch.float64)[:, None])
    assert spikes.flatten().tolist() == expected


def random_neuron(steps: int, channels: int, **options) -> AdaptiveLeaky:
    neuron = AdaptiveLeaky(steps, channels, **options)
    seeded = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in neuron.parameters():
            parameter.copy_(0.4 + 0.6 * torch.rand(parameter.shape, generator=seeded))
    return neuron


VARIANTS = [
    {},
    {"reset": "zero"},
    {"reset": "none"},
    {"learn_reset_size": True},
    {"granularity": "channel"},
    {"granularity": "channel", "learn_reset_size": True, "learn_threshold": True},
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 4), (0, 3, 4, 4)], ids=str)
def test_both_forms_agree_bit_for_bit(shape, options):
    neuron = random_neuron(5, 3, **options)
    x = 2 * torch.rand(5, *shape, generator=torch.Generator().manual_seed(1))
    all_steps = x.clone().requires_grad_()
    spikes = neuron(all_steps)
    spikes.sum().backward()
    gradients = {name: p.grad.clone() for name, p in neuron.named_parameters()}
    neuron.zero_grad()

    single = x.clone().requires_grad_()
    mem, steps = neuron.init_leaky(), []
    for x_t in single:
        s, mem = neuron(x_t, mem)
        steps.append(s)
    torch.stack(steps).sum().backward()
    assert mem.step == 5
    assert torch.equal(torch.stack(steps), spikes)
    assert torch.equal(single.grad, all_steps.grad)
    for name, parameter in neuron.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-5, atol=1e-6)
    if spikes.numel():
        assert 0 < spikes.mean() < 1


def test_a_step_is_a_pure_function():
    parameters = LeakyParameters(torch.tensor(0.5), torch.tensor(1.0), torch.tensor(1.0))
    x, v = torch.tensor([0.75, 0.25]), torch.tensor([1.0, 1.0])
    # 1/2 + 3/4 = 5/4 fires -> 1/4;  1/2 + 1/4 = 3/4 does not.
    for _ in range(2):
        s, after = leaky_step(x, v, parameters, LeakyOptions())
        assert (s.tolist(), after.tolist()) == ([1, 0], [0.25, 0.75])
    assert (x.tolist(), v.tolist()) == ([0.75, 0.25], [1.0, 1.0])


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_one_step_empty_batch_and_fewer_steps(options):
    neuron = random_neuron(4, 3, **options)
    x = 2 * torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(neuron(x[:1]), neuron(x)[:1])
    assert torch.equal(neuron(x[:2]), neuron(x)[:2])
    assert neuron(x[:, :0]).shape == (4, 0, 3)
    assert neuron(x[:0]).shape == (0, 2, 3)
    assert random_neuron(1, 3, **options)(x[:1]).shape == (1, 2, 3)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_memory_layout_does_not_matter(options):
    neuron = random_neuron(4, 3, **options)
    x = 2 * torch.rand(2, 5, 3, 4, generator=torch.Generator().manual_seed(1)).permute(3, 0, 2, 1)
    assert not x.is_contiguous()
    assert torch.equal(neuron(x), neuron(x.contiguous()))
    static = x[:1].expand(4, -1, -1, -1)
    assert torch.equal(neuron(static), neuron(static.contiguous()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_spikes_have_the_inputs_dtype_and_membranes_at_least_float32(dtype):
    neuron = AdaptiveLeaky(3)
    x = torch.ones(3, 2, 2, dtype=dtype)
    assert neuron(x).dtype == dtype
    s, mem = neuron(x[0], neuron.init_leaky())
    assert s.dtype == dtype
    assert mem.v.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_half_precision_input_loses_nothing_in_the_membrane():
    # A sum of ones in bfloat16 stops at 256, since 257 is rounded to 256.
    assert torch.tensor(256, dtype=torch.bfloat16) + 1 == 256
    neuron = AdaptiveLeaky(262, leak=1.0, gain=1.0, threshold=258.5)
    spikes = neuron(torch.ones(262, 1, dtype=torch.bfloat16)).flatten()
    assert spikes.argmax() == 258


def test_too_many_steps_are_refused():
    neuron = AdaptiveLeaky(3)
    with pytest.raises(ConfigError) as caught:
        neuron(torch.zeros(4, 1))
    error = caught.value
    assert error.what == "the input has 4 steps or more, the neuron has parameters for 3"
    assert error.why == "leak and gain are learned for each step"
    assert error.remedy == "give at most 3 steps, or build the neuron with steps=4"
    mem = neuron.init_leaky()
    for _ in range(3):
        _, mem = neuron(torch.zeros(1), mem)
    with pytest.raises(ConfigError, match="4 steps or more, the neuron has parameters for 3"):
        neuron(torch.zeros(1), mem)


def test_a_membrane_alone_is_not_a_state():
    with pytest.raises(TypeError) as caught:
        AdaptiveLeaky(3)(torch.zeros(1), torch.zeros(1))
    assert "mem must be a LeakyState" in str(caught.value)
    assert "begin with mem = neuron.init_leaky()" in str(caught.value)


def test_a_state_has_the_index_of_its_step():
    neuron = with_schedules(AdaptiveLeaky(3), **SCHEDULES)
    assert neuron.init_leaky() == LeakyState(None, 0)
    _, first = neuron(INPUT[0], neuron.init_leaky())
    # A state is a value: using it twice gives the same result twice.
    again = [neuron(INPUT[1], first) for _ in range(2)]
    assert torch.equal(again[0][1].v, again[1][1].v)
    assert first.step == 1
    assert first.v.tolist() == [0.5]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"leak": (4,), "gain": (4,)}),
        ({"granularity": "channel"}, {"leak": (4, 6), "gain": (4, 6)}),
        ({"schedule": "shared"}, {"leak": (1,), "gain": (1,)}),
        ({"schedule": "shared", "granularity": "channel"}, {"leak": (1, 6), "gain": (1, 6)}),
        ({"learn_threshold": True}, {"leak": (4,), "gain": (4,), "threshold": ()}),
        ({"learn_reset_size": True}, {"leak": (4,), "gain": (4,), "reset_size": (4,)}),
        ({"learn_schedule": False}, {}),
    ],
)
def test_learned_parameters(options, expected):
    neuron = AdaptiveLeaky(4, 6, **options)
    assert {name: tuple(p.shape) for name, p in neuron.named_parameters()} == expected
    # arXiv 2408.12407: leak and gain start at 0.5, reset sizes at 1, compared with 0.5.
    for name, start in (("leak", 0.5), ("gain", 0.5)):
        assert (getattr(neuron, name) == start).all()
    assert neuron.threshold == (0.5 if "learn_reset_size" in options else 1)
    if "learn_reset_size" in options:
        assert (neuron.reset_size == 1).all()
    # Values that are not learned are saved too.
    assert {"leak", "gain", "threshold"} <= set(neuron.state_dict())


@pytest.mark.parametrize("options", [{}, {"granularity": "channel", "learn_reset_size": True}])
def test_a_shared_schedule_equals_a_constant_one(options):
    shared = AdaptiveLeaky(4, 6, schedule="shared", **options)
    each = AdaptiveLeaky(4, 6, **options)
    x = torch.rand(4, 2, 6, generator=torch.Generator().manual_seed(0)).mul(4).requires_grad_()
    with torch.no_grad():
        for neuron in (shared, each):
            neuron.leak.fill_(0.8)
            neuron.gain.fill_(0.6)
    weight = torch.arange(48.0).view(4, 2, 6)
    for neuron in (shared, each):
        (neuron(x) * weight).sum().backward()
    assert shared(x).sum() > 0
    assert torch.equal(shared(x), each(x))
    # The gradient of a shared value is the sum over its steps.
    for name in ("leak", "gain"):
        of_steps = getattr(each, name).grad.sum(0, keepdim=True)
        torch.testing.assert_close(getattr(shared, name).grad, of_steps)
    mem, spikes = shared.init_leaky(), []
    for step in x:
        spike, mem = shared(step, mem)
        spikes.append(spike)
    assert torch.equal(torch.stack(spikes), shared(x))


def test_a_bounded_leak_is_clamped_and_its_gradient_leads_back():
    neuron = AdaptiveLeaky(3, bounded=True)
    with torch.no_grad():
        neuron.leak.copy_(torch.tensor([-0.4, 0.7, 1.2]))
    clamped = neuron.step_parameters().leak
    torch.testing.assert_close(clamped, torch.tensor([0.01, 0.7, 0.99]))
    x = torch.rand(3, 2, 4, generator=torch.Generator().manual_seed(0))
    inside = AdaptiveLeaky(3)
    with torch.no_grad():
        inside.leak.copy_(clamped)
    assert torch.equal(neuron(x), inside(x))
    for direction, expected in ((1.0, [0, 1, 1]), (-1.0, [-1, -1, 0])):
        (grad,) = torch.autograd.grad(neuron.clamped_leak().sum() * direction, neuron.leak)
        assert grad.tolist() == expected
    assert (AdaptiveLeaky(3).clamped_leak() == 0.5).all()


def test_fixed_neuron_is_one_half_and_learns_nothing():
    neuron = FixedLeaky(4, 6)
    assert list(neuron.parameters()) == []
    assert (neuron.leak == 0.5).all()
    assert (neuron.gain == 0.5).all()
    x = 4 * torch.rand(4, 2, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(neuron(x), AdaptiveLeaky(4)(x))
    assert neuron(x).sum() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"granularity": "channel"}, "granularity 'channel' needs the number of channels"),
        ({"schedule": "none"}, "unknown schedule 'none': choose from per-step, shared"),
        ({"granularity": "pixel"}, "unknown granularity 'pixel': choose from layer, channel"),
        ({"reset": "substract"}, "unknown reset 'substract': choose from subtract, zero, none"),
        (
            {"surrogate": "arctan"},
            "unknown surrogate 'arctan': choose from sigmoid, atan, triangular, fast_sigmoid, "
            "gaussian, hat, lorentzian",
        ),
        ({"alpha": 0.0}, "alpha must be above 0, not 0.0"),
        (
            {"learn_reset_size": True, "reset": "zero"},
            "learn_reset_size goes with reset 'subtract' only, not 'zero': "
            "the other resets have no size",
        ),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ConfigError) as caught:
        AdaptiveLeaky(**{"steps": 3, **options})
    assert str(caught.value) == message


def test_neurons_by_name():
    assert neuron_registry.get("adaptive") is AdaptiveLeaky
    assert neuron_registry.get("fixed") is FixedLeaky
    with pytest.raises(ConfigError) as caught:
        neuron_registry.get("adaptiv")
    assert caught.value.what == "unknown neuron 'adaptiv'"
    assert caught.value.remedy == "did you mean 'adaptive'?"


@pytest.mark.slow
def test_a_deleted_network_is_freed_and_not_registered_with_snntorch():
    before = len(snntorch.SpikingNeuron.instances)
    model = create_model("mlp", in_shape=(1, 2, 2), classes=2, features=[3], steps=3)
    model(torch.rand(2, 1, 2, 2)).sum().backward()
    assert len(snntorch.SpikingNeuron.instances) == before
    dropped = [weakref.ref(model), *(weakref.ref(p) for p in model.parameters())]
    del model
    gc.collect()
    assert all(found() is None for found in dropped)


def test_a_forward_pass_does_not_change_the_module():
    neuron = AdaptiveLeaky(3)
    before = {name: value.clone() for name, value in neuron.state_dict().items()}
    attributes = set(vars(neuron))
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(0)) * 3
    first = neuron(x)
    neuron(x[0], neuron.init_leaky())
    assert torch.equal(neuron(x), first)
    assert set(vars(neuron)) == attributes
    assert all(torch.equal(value, before[name]) for name, value in neuron.state_dict().items())
