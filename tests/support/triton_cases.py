"""Cases that `test_triton` runs in a process of its own: on a GPU, or in Triton's interpreter.

The oracle computes the equations of the contract in float64, with gradients by autograd: a spike is
H(u) + f(u) - f(u), where only the first f, the integral of the surrogate, has a gradient. Several
spikes of a step are the sum of such spikes at (θ + j) V, or the same with the integral of a ramp.
"""

import copy
import math

import pytest
import torch
from torch.nn.functional import max_pool2d

from asnn.kernels.contract import (
    BIAS,
    GAIN,
    LEAK,
    MEAN,
    SCALE,
    SIZE,
    SUM_THRESHOLD,
    Rule,
    Shape,
)
from asnn.kernels.cuda import backend as cuda
from asnn.kernels.rules import LEVEL_GRADIENTS, RESETS, SURROGATES
from asnn.models import AdaptiveLeaky, use_kernels
from asnn.models.layers import fusing
from asnn.models.layers.norm import create_norm
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.neurons.integrate import Integrate
from asnn.models.neurons.lif import Lif

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def hat_integral(u, a):
    """The integral of α max(0, 1 - α|u|)."""
    rising, falling = (1 + a * u).clamp(0, 1), (1 - a * u).clamp(0, 1)
    return torch.where(u < 0, rising.square() / 2, 1 - falling.square() / 2)


INTEGRALS = {
    "sigmoid": lambda u, a: torch.sigmoid(a * u),
    "atan": lambda u, a: torch.atan(math.pi / 2 * a * u) / math.pi,
    "triangular": lambda u, a: -a * u.abs(),
    "fast_sigmoid": lambda u, a: u / (1 + a * u.abs()),
    "gaussian": lambda u, a: torch.special.ndtr(a * u),
    "hat": hat_integral,
    "lorentzian": lambda u, a: torch.atan(math.sqrt(a) * u) / math.sqrt(a),
}


def rule_of(reset, *, sized=False, surrogate="sigmoid", learns=True, once=False, **more):
    code, _, alpha = SURROGATES[surrogate]
    return Rule(RESETS[reset].code, sized, code, alpha, learns, once, **more)


def counting(most, surrogate="sigmoid"):
    """The rule of integrating neurons."""
    if surrogate in LEVEL_GRADIENTS:
        code, alpha = LEVEL_GRADIENTS[surrogate], 1.0
    else:
        code, _, alpha = SURROGATES[surrogate]
    return Rule(RESETS["subtract"].code, True, code, alpha, False, False, most)


SUBTRACT = rule_of("subtract")
# Every reset and every surrogate of the table, so that a new name fails here without its kernel.
RULES = [
    *(rule_of(reset, surrogate=name) for name in SURROGATES for reset in RESETS),
    *(rule_of("subtract", sized=True, surrogate=name, learns=False) for name in SURROGATES),
    rule_of("none", learns=False),
    rule_of("zero", sized=True, surrogate="atan"),
    rule_of("none", sized=True, surrogate="fast_sigmoid"),
    *(rule_of(reset, once=True, surrogate="atan") for reset in RESETS),
    rule_of("subtract", sized=True, once=True, learns=False),
    *(rule_of(reset, surrogate="lorentzian", detached=True) for reset in RESETS),
    rule_of("subtract", sized=True, detached=True),
    *(counting(3, name) for name in (*SURROGATES, *LEVEL_GRADIENTS)),
    *(counting(1, name) for name in ("atan", *LEVEL_GRADIENTS)),
]
RESET_OF_CODE = {reset.code: reset for reset in RESETS.values()}
SURROGATE_OF_CODE = {surrogate.code: name for name, surrogate in SURROGATES.items()}
LEVEL_OF_CODE = {code: name for name, code in LEVEL_GRADIENTS.items()}


def shaped(steps=3, static=False, window=(2, 2), *, batch=2, height=5, width=3, channels=5):
    return Shape(steps, batch, height, width, channels, static, window)


def inputs(shape, rule, dtype=torch.float32):
    seeded = torch.Generator().manual_seed(1)
    steps = 1 if shape.static else shape.steps
    x = torch.randn(steps, shape.rows, shape.channels, generator=seeded).to(dtype)
    table = 0.4 + torch.rand(6, shape.steps, shape.channels, generator=seeded)
    table[MEAN] -= 0.9
    table[LEAK] /= 2
    if rule.most:  # so that some neurons send several spikes
        table[GAIN] *= 2
        table[SIZE] /= 2
    if not rule.sized:
        table[SIZE] = math.nan  # must not be read
    threshold = torch.tensor([0.6])
    if rule.detached:  # such neurons have a threshold for each channel
        threshold = 0.4 + 0.4 * torch.rand(shape.channels, generator=seeded)
    grad = torch.randn(shape.steps, shape.out_rows, shape.channels, generator=seeded).to(dtype)
    return grad, x, table, threshold


def pooled(s, shape):
    s = s.view(shape.batch, shape.height, shape.width, shape.channels).permute(0, 3, 1, 2)
    if min(s.shape[2] // shape.window[0], s.shape[3] // shape.window[1]):
        s = max_pool2d(s, shape.window)
    else:
        s = s[:, :, :0]
    return s.permute(0, 2, 3, 1).reshape(shape.out_rows, shape.channels)


def plain_number(v, size, fraction, rule):
    """Return the number of spikes of integrating neurons."""
    return ((v - fraction * size) / size).ceil().clamp(0, rule.most)


def plain_loop(
    x,
    table,
    threshold,
    shape,
    rule,
    fire=lambda u: (u > 0).to(u.dtype),
    number=plain_number,
    shift=None,
):
    """Return outputs, counts and the membranes before each step, in the dtype of the table."""
    shared = threshold.dim() == 1  # by all steps
    v = torch.zeros(shape.rows, shape.channels, dtype=table.dtype)
    fired = torch.zeros_like(v)
    spikes, counts, before = [], [], []
    for t in range(shape.steps):
        before.append(v)
        y = (x[0 if shape.static else t] - table[MEAN, t]) * table[SCALE, t] + table[BIAS, t]
        v = table[LEAK, t] * v + table[GAIN, t] * y
        if shift is not None:
            v = v + shift[t]
        theta = threshold if shared else threshold[t]
        size = table[SIZE, t] if rule.sized else theta
        if rule.most:
            s = number(v, size, theta.detach(), rule)
        else:
            s = fire((v / size if rule.sized else v) - theta)
        resetting = s.detach() if rule.detached else s
        v = RESET_OF_CODE[rule.reset].formula(v, resetting, size)
        if rule.once:
            s = s * (1 - fired)
            fired = fired + s.detach()
        spikes.append(pooled(size * s if rule.most else s, shape))
        counts.append(s.sum().double())
    return torch.stack(spikes), torch.stack(counts), torch.stack(before)


def oracle(grad, x, table, threshold, shape, rule):
    def fire(u):
        assert not u.numel() or u.abs().min() > 1e-6, "take another seed: float32 could round over"
        smooth = INTEGRALS[SURROGATE_OF_CODE[rule.surrogate]](u, rule.alpha)
        return (u > 0).double() + (smooth - smooth.detach())

    def number(v, size, fraction, rule):
        u = v / size - fraction
        level = LEVEL_OF_CODE.get(rule.surrogate)
        if level is None:
            return sum(fire(v - (fraction + j) * size) for j in range(rule.most))
        smooth = torch.where((u > -1) & (u <= rule.most), u, 0)
        if level == "triangle":  # the integral of max(0, 1 - |z|) on both sides of its peak
            smooth = 0
            for j in range(rule.most):
                z = (u - j).clamp(-1, 1)
                smooth = smooth + z - z * z.abs() / 2
        return plain_number(v.detach(), size.detach(), fraction, rule) + (smooth - smooth.detach())

    x, table, grad = x.double(), table.double().requires_grad_(), grad.double()
    thetas = threshold.double().expand(shape.steps, shape.channels).clone().requires_grad_()
    shift = torch.zeros(shape.steps, shape.rows, shape.channels, dtype=torch.float64)
    shift.requires_grad_()
    spikes, _, before = plain_loop(x, table, thetas, shape, rule, fire, number, shift)
    (spikes * grad).sum().backward()
    g, table_grad = shift.grad, table.grad
    table = table.detach()
    q = table[SCALE, :, None] * table[GAIN, :, None] * g
    nothing = torch.zeros_like(thetas)
    sums = [
        g.sum(1),
        (g * (x - table[MEAN, :, None])).sum(1),
        (g * before.detach()).sum(1),
        thetas.grad if rule.learns_threshold else nothing,
        table_grad[SIZE] if rule.sized else nothing,
    ]
    return q.sum(0, keepdim=True) if shape.static else q, torch.stack(sums)


def kernels_of(grad, x, table, threshold, shape, rule):
    grad, x, table, threshold = (i.to(DEVICE) for i in (grad, x, table, threshold))
    spikes, counts = cuda.forward(x, table, threshold, shape, rule, True)
    q, sums = cuda.backward(grad, x, table, threshold, shape, rule)
    assert spikes.dtype == q.dtype == x.dtype
    assert counts.dtype == sums.dtype == torch.float64
    return spikes.cpu(), counts.cpu(), q.cpu(), sums.cpu()


def close(found, expected, rtol):
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(found.double(), expected, rtol=rtol, atol=rtol * scale)


def agrees(shape, rule, dtype=torch.float32, wrong_leak=1.0):
    grad, x, table, threshold = inputs(shape, rule, dtype)
    wrong = table.clone()
    wrong[LEAK] *= wrong_leak
    spikes, counts, q, sums = kernels_of(grad, x, wrong, threshold, shape, rule)
    expected, number, _ = plain_loop(x.float(), table, threshold, shape, rule)
    if wrong_leak == 1:
        assert torch.equal(spikes, expected.to(dtype))
        assert torch.equal(counts, number)
        if shape.rows > 10:
            share = number.sum() / (shape.steps * shape.rows * shape.channels)
            assert 0.05 < share < 0.95 * max(1, rule.most)
    expected_q, expected_sums = oracle(grad, x, table, threshold, shape, rule)
    close(q, expected_q, 1e-5 if dtype == torch.float32 else torch.finfo(dtype).eps)
    for item, item_expected in zip(sums, expected_sums, strict=True):
        close(item, item_expected, 1e-5)
    return sums


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_rule(rule):
    sums = agrees(shaped(), rule)
    assert bool(sums[SUM_THRESHOLD].any()) == rule.learns_threshold


# Segments have up to 8 steps forward and 4 backward: of 5 and 9 steps the last is not full.
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize(
    ("window", "steps"),
    [((1, 1), 5), ((1, 2), 5), ((2, 1), 5), ((2, 2), 5), ((1, 1), 9), ((2, 2), 9), ((2, 2), 1)],
)
def test_every_window(window, steps, static):
    agrees(shaped(steps, static, window), rule_of("subtract", sized=steps == 9))


@pytest.mark.parametrize("rule", [counting(3), rule_of("zero", once=True)], ids=["count", "once"])
@pytest.mark.parametrize(
    ("window", "steps", "static"),
    [((1, 1), 9, False), ((2, 2), 9, True), ((1, 2), 5, False), ((2, 2), 1, False)],
)
def test_every_window_of_counts_and_of_neurons_that_fire_once(window, steps, static, rule):
    agrees(shaped(steps, static, window), rule)


def test_many_steps():
    agrees(shaped(64, batch=1, height=1, width=1, window=(1, 1), channels=2), SUBTRACT)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("static", [False, True])
def test_half_precision(dtype, static):
    agrees(shaped(static=static), SUBTRACT, dtype)


@pytest.mark.parametrize("window", [(1, 1), (2, 2)])
@pytest.mark.parametrize("height", [1, 2])
def test_images_smaller_than_a_window(height, window):
    agrees(shaped(batch=1, height=height, width=1, window=window), SUBTRACT)


@pytest.mark.parametrize("channels", [1, 33])
def test_several_tiles_for_each_program(channels):
    shape = shaped(2, batch=2 if channels == 33 else 40, channels=channels)
    agrees(shape, SUBTRACT)
    first, second = (kernels_of(*inputs(shape, SUBTRACT), shape, SUBTRACT) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def test_a_wrong_leak_would_show():
    with pytest.raises(AssertionError):
        agrees(shaped(), SUBTRACT, wrong_leak=1.001)


@pytest.mark.parametrize("window", [(1, 1), (2, 2)])
def test_empty_batch(window):
    shape = shaped(batch=0, window=window)
    spikes, counts, q, sums = kernels_of(*inputs(shape, SUBTRACT), shape, SUBTRACT)
    assert spikes.shape == q.shape == (3, 0, 5)
    assert counts.tolist() == [0, 0, 0]
    assert sums.shape == (5, 3, 5)
    assert not sums.any()


def test_counts_only_if_wanted():
    shape = shaped()
    _, x, table, threshold = (i.to(DEVICE) for i in inputs(shape, SUBTRACT))
    assert cuda.forward(x, table, threshold, shape, SUBTRACT, False)[1] is None


@pytest.mark.parametrize("rows", [1, 64, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_moments(rows, dtype):
    seeded = torch.Generator().manual_seed(0)
    x = torch.randn(2, rows, 35, generator=seeded) + 300 * torch.rand(35, generator=seeded)
    x = x.to(dtype)
    found = cuda.moments(x.to(DEVICE)).cpu()
    assert found.dtype == torch.float64
    expected = torch.stack((x.double().mean(1), x.double().var(1, correction=0)))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    if rows == 1000 and dtype == torch.float32:
        naive = x.square().mean(1) - x.mean(1).square()
        assert not torch.allclose(naive.double(), expected[1], rtol=1e-3)


def test_moments_of_nothing_are_not_numbers():
    assert cuda.moments(torch.empty(2, 0, 3, device=DEVICE)).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finish(dtype):
    seeded = torch.Generator().manual_seed(0)
    q, x = torch.randn(2, 2, 70, 35, generator=seeded).to(dtype)
    mean, offset, slope = torch.randn(3, 2, 35, generator=seeded)
    found = q.clone().to(DEVICE)
    cuda.finish(found, *(i.to(DEVICE) for i in (x, mean, offset, slope)))
    mean, offset, slope = (i.double()[:, None] for i in (mean, offset, slope))
    expected = q.double() + offset + (x.double() - mean) * slope
    close(found.cpu(), expected, torch.finfo(dtype).eps)


def test_finish_of_nothing():
    nothing, row = torch.empty(2, 0, 3, device=DEVICE), torch.zeros(2, 3, device=DEVICE)
    cuda.finish(nothing, nothing, row, row, row)


def test_too_many_rows():
    shape = shaped(batch=2**30, height=1, width=1)
    x = torch.empty(1).expand(3, shape.rows, 5)
    with pytest.raises(
        ValueError, match=r"1073741824 rows are too many: .* \(take smaller batches"
    ):
        cuda.forward(x, x, x, shape, SUBTRACT, False)


NEURONS = {
    "leaky": lambda: AdaptiveLeaky(3, 5, gain=1.5, granularity="channel", learn_threshold=True),
    "once": lambda: AdaptiveLeaky(3, 5, gain=1.5, once=True),
    "lif": lambda: Lif(3, 5, leak=0.3),
    "integrate": lambda: Integrate(
        3, 5, most=4, fraction=0.5, amplitude=0.4, granularity="channel", learn_amplitude=True
    ),
}


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(
    ("norm", "static"), [("folded", False), ("folded", True), ("per-step", False)]
)
def test_the_layer_on_top(monkeypatch, norm, static, neuron):
    """`kernels.fused_layer` on the four functions, against the reference in float64."""
    monkeypatch.setattr(fusing, "backend", lambda device: cuda)
    torch.manual_seed(0)
    neuron = NEURONS[neuron]()
    pool = torch.nn.MaxPool2d(2)
    layer = SpikingLayer(create_norm(norm, 5, steps=3, image=True), neuron, pool).to(DEVICE)
    exact = copy.deepcopy(layer).double()
    use_kernels(layer, "fused")
    use_kernels(exact, "reference")
    leaf = torch.randn(4 if static else 12, 5, 4, 5, device=DEVICE)
    spikes, grads = [], []
    for network, x in ((layer, leaf), (exact, leaf.double())):
        x = x.requires_grad_()
        out = network(x.expand(3, *x.shape) if static else x.unflatten(0, (3, 4)))
        weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype, device=DEVICE)
        (out.flatten() * weight).sum().backward()
        spikes.append(out.detach().double())
        grads.append([x.grad, *(p.grad for p in network.parameters())])
    assert (layer.used, exact.used) == ("fused", "reference")
    torch.testing.assert_close(*spikes, rtol=1e-6, atol=0)
    for found, expected in zip(*grads, strict=True):
        close(found.cpu(), expected.cpu(), 1e-4)
