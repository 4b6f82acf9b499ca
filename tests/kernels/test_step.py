"""A single step of leaky neurons by the CPU kernels, against its equations with autograd."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.kernels.cpu import backend
from asnn.kernels.fused_layer import rule_of
from asnn.kernels.rules import RESETS, SURROGATES
from asnn.kernels.step import fused_step, missing_step
from asnn.models import spike
from tests.support.fused_layers import distance

NAMES = ("x", "v", "factors")


def drawn(rows, channels, dtype=torch.float32):
    seeded = torch.Generator().manual_seed(rows * 100 + channels)
    x, v = torch.randn(2, rows, channels, generator=seeded)
    factors = 0.3 + torch.rand(3, channels, generator=seeded)
    return [each.to(dtype).requires_grad_() for each in (2 * x, v, factors)]


def equations(x, v, factors, *, reset, surrogate, alpha, detached):
    leak, gain, threshold = factors
    u = leak * v + gain * x
    s = spike(u - threshold, surrogate, alpha)
    return s, RESETS[reset].formula(u, s.detach() if detached else s, threshold)


def fused(x, v, factors, **options):
    rule = rule_of(**options, sized=False, learns_threshold=True)
    return fused_step(x, v, factors, rule, backend)


def run(function, rows, channels, dtype=torch.float32, **options):
    """Return spikes and membranes, and the gradients."""
    tensors = drawn(rows, channels, dtype)
    found = function(*tensors, **options)
    seeded = torch.Generator().manual_seed(1)
    weights = torch.randn(2, rows, channels, generator=seeded).to(dtype)
    torch.autograd.backward(found, weights.unbind())
    return [each.detach() for each in found], [each.grad for each in tensors]


def agree(rows, channels, *, wrong=None, **options):
    found, grads = run(fused, rows, channels, **{**options, **(wrong or {})})
    exact, expected = run(equations, rows, channels, torch.float64, **options)
    same, plain = run(equations, rows, channels, **options)
    if wrong is None:
        for one, other in zip(found, same, strict=True):
            assert torch.equal(one, other)
        assert torch.equal(found[0].double(), exact[0])
    for name, grad, wanted, float32 in zip(NAMES, grads, expected, plain, strict=True):
        # Sums may cancel: then the equations are not exact in float32 either.
        allowed = max(1e-5 * float(wanted.abs().max()), 10 * distance(float32, wanted))
        assert distance(grad, wanted) <= allowed, f"gradient of {name}"


LIF = {"reset": "zero", "surrogate": "lorentzian", "alpha": 10.0, "detached": True}


@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_every_rule(reset, surrogate, detached):
    alpha = SURROGATES[surrogate].alpha
    agree(40, 21, reset=reset, surrogate=surrogate, alpha=alpha, detached=detached)


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 70), channels=st.integers(1, 40))
def test_any_shape(rows, channels):
    agree(rows, channels, **LIF)


@pytest.mark.parametrize(("rows", "channels"), [(5000, 16), (3, 600), (700, 513)])
def test_many_blocks(rows, channels):
    agree(rows, channels, **LIF)


@pytest.mark.parametrize(
    "wrong",
    [{"detached": False}, {"surrogate": "atan"}, {"reset": "subtract"}, {"alpha": 9.99}],
    ids=str,
)
def test_another_rule_would_show(wrong):
    """The negative control of the tests above."""
    with pytest.raises(AssertionError, match="gradient of"):
        agree(40, 21, wrong=wrong, **LIF)


def test_the_number_of_threads_does_not_matter():
    threads = torch.get_num_threads()
    try:
        runs = []
        for number in (1, 3):
            torch.set_num_threads(number)
            runs.append(run(fused, 3000, 21, **LIF))
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(*([*found, *grads] for found, grads in runs), strict=True):
        assert torch.equal(one, other)


def test_nothing_but_the_input_and_the_membrane_is_saved():
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda each: (saved.append(each.numel()), each)[1], lambda each: each
    ):
        fused(*drawn(30, 7), **LIF)
    assert sorted(saved) == [3 * 7, 30 * 7, 30 * 7]


@pytest.mark.parametrize("shape", [(0, 5), (4, 0)])
def test_no_rows_or_channels(shape):
    (spikes, after), grads = run(fused, *shape, **LIF)
    assert spikes.shape == after.shape == shape
    assert all(grad is not None for grad in grads)


def test_there_is_a_step_for_float32_on_a_cpu_only():
    assert missing_step("cpu", torch.float32) is None
    assert missing_step("cuda", torch.float32) == "single steps are fused on the CPU only"
    assert missing_step("cpu", torch.float64) == "fused kernels do not compute in float64 on cpu"
