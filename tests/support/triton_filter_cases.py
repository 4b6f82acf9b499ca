"""Cases of filters that `test_triton` runs in a process of its own, as those of `triton_cases`."""

import pytest
import torch

from asnn.kernels.cuda import backend as cuda
from asnn.models.synapses.filters import pole_filter

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def inputs(shape, poles, dtype):
    seeded = torch.Generator().manual_seed(1)
    x, grad = torch.randn(2, *shape, generator=seeded).to(dtype)
    factors = 0.2 + 0.7 * torch.rand(poles + 1, shape[2], generator=seeded)
    return grad, x, factors[:-1], factors[-1]


def agrees(shape, poles, dtype=torch.float32, wrong_pole=1.0):
    grad, x, p, gain = inputs(shape, poles, dtype)
    of_kernels = [each.to(DEVICE) for each in (grad, x, p * wrong_pole, gain)]
    y = cuda.filter_forward(*of_kernels[1:]).cpu()
    q, sums = (each.cpu() for each in cuda.filter_backward(*of_kernels, True))
    alone, none = cuda.filter_backward(*of_kernels, False)
    assert y.dtype == q.dtype == dtype and sums.dtype == torch.float64
    assert torch.equal(alone.cpu(), q) and not none.any()
    leaves = [each.double().requires_grad_() for each in (x, p, gain)]
    expected = pole_filter(*leaves)
    expected.backward(grad.double())
    rtol = 1e-5 if dtype == torch.float32 else torch.finfo(dtype).eps
    x_grad, poles_grad, gain_grad = (  # of one step the poles have none
        torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves
    )
    for found, right in ((y, expected.detach()), (q, x_grad)):
        torch.testing.assert_close(found.double(), right, rtol=rtol, atol=rtol * 4)
    right = torch.cat([poles_grad, gain_grad[None]])
    torch.testing.assert_close(sums, right, rtol=1e-4, atol=1e-4 * float(right.abs().max()))
    if dtype == torch.float32:
        assert torch.equal(y, pole_filter(x, p, gain))


@pytest.mark.parametrize("poles", [1, 2, 3])
@pytest.mark.parametrize("shape", [(5, 3, 4), (3, 40, 33), (1, 1, 1), (2, 9, 1)])
def test_filters(shape, poles):
    agrees(shape, poles)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_filters_in_half_precision(dtype):
    agrees((5, 3, 4), 2, dtype)


def test_filters_of_nothing():
    nothing, poles, gain = torch.empty(3, 0, 4), torch.full((2, 4), 0.5), torch.ones(4)
    given = [each.to(DEVICE) for each in (nothing, nothing, poles, gain)]
    assert cuda.filter_forward(*given[1:]).shape == (3, 0, 4)
    q, sums = cuda.filter_backward(*given, True)
    assert q.shape == (3, 0, 4) and sums.shape == (3, 4) and not sums.any()


def test_a_wrong_pole_would_show():
    with pytest.raises(AssertionError):
        agrees((5, 3, 4), 2, wrong_pole=1.001)
