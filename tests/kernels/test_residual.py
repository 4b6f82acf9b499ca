"""Both ends of a residual block against operations of torch in float64."""

import copy

import pytest
import torch
from torch import nn

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.kernels import residual as normed
from asnn.kernels.residual import fork
from asnn.models import use_kernels
from asnn.models.layers import fusing
from asnn.models.layers.convolution import PointConv2d
from asnn.models.layers.fusing import normed_sum
from asnn.models.layers.norm import SplitNorm, create_norm
from asnn.models.layers.residual import Residual

STEPS = 4
FORMS = ["folded", "per-step", "shared", "split"]


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images(channels=10, size=(5, 3), seed=0):
    """Time-major images, channels last as from convolutions."""
    x = drawn(STEPS, 3, *size, channels, seed=seed) * 2 + 1
    return x.permute(0, 1, 4, 2, 3)


def norm_of(form, channels=10):
    torch.manual_seed(1)
    if form == "split":
        parts = [create_norm("folded", channels, steps=STEPS, image=True) for _ in range(2)]
        norm = SplitNorm(1, *parts)
    else:
        norm = create_norm(form, channels, steps=STEPS, image=True)
    for value in norm.parameters():
        nn.init.normal_(value, 1.0, 0.5)
    return norm


def run_once(function, norm, x, other, dtype):
    """Return the result, all gradients, and the running statistics."""
    norm = copy.deepcopy(norm).to(dtype)
    x, other = (v.detach().to(dtype).requires_grad_() for v in (x, other))
    out = function(x, norm, other)
    (out * drawn(*out.shape, seed=9).to(dtype)).sum().backward()
    found = {"out": out.detach(), "x": x.grad, "other": other.grad}
    found |= {name: value.grad for name, value in norm.named_parameters()}
    return found | {name: value.clone() for name, value in norm.named_buffers()}


def by_torch(x, norm, other):
    return norm(x) + other


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name].double(),
            value.double(),
            rtol=2e-5,
            atol=2e-5,
            msg=lambda m, n=name: f"{n}: {m}",
        )


@pytest.mark.filterwarnings("ignore:norm 'shared'")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("channels", [1, 8, 19])
def test_norm_and_sum_are_those_of_torch(form, training, channels):
    norm = norm_of(form, channels).train(training)
    x, other = images(channels), images(channels, seed=5)
    found = run_once(normed_sum, norm, x, other, torch.float32)
    assert_close(found, run_once(by_torch, norm, x, other, torch.float64))


def test_many_rows():
    """More than a block, and a last block that is not full."""
    norm, x, other = norm_of("folded"), images(size=(17, 13)), images(size=(17, 13), seed=5)
    found = run_once(normed_sum, norm, x, other, torch.float32)
    assert_close(found, run_once(by_torch, norm, x, other, torch.float64))


def test_without_a_sum():
    norm, x = norm_of("folded"), images()
    mine, leaf = copy.deepcopy(norm), x.clone().requires_grad_()
    found = normed_sum(leaf, mine)
    torch.testing.assert_close(found, norm(x), rtol=2e-5, atol=2e-5)
    found.square().sum().backward()
    assert leaf.grad is not None and mine.norm.weight.grad is not None


def test_torch_computes_with_fewer_norms_than_steps():
    norm = create_norm("per-step", 10, steps=2, image=True).eval()
    x = images()
    assert torch.equal(normed_sum(x, norm), norm(x))


def test_two_paths_on_another_device():
    leaf = torch.ones(2, 3, device="meta", requires_grad=True)
    one, two = fork(leaf)
    (one * 2 + two * 3).sum().backward()
    assert leaf.grad.device.type == "meta"


@pytest.mark.parametrize("change", [lambda x: x + 1e-3, lambda x: x.roll(1, 0)])
def test_another_sum_is_noticed(change):
    """The negative control of the tests above."""
    norm, x, other = norm_of("per-step"), images(), images(seed=5)
    found = run_once(normed_sum, norm, x, other, torch.float32)
    with pytest.raises(AssertionError):
        assert_close(found, run_once(by_torch, norm, x, change(other), torch.float64))


@pytest.fixture
def calls(monkeypatch):
    """The calls of the kernels for a norm and a sum."""
    found, kernel = [], normed.normed_sum

    def spy(*args):
        found.append(args)
        return kernel(*args)

    monkeypatch.setattr(fusing.kernels, "normed_sum", spy)
    return found


def test_torch_computes_what_the_kernels_do_not_support(calls):
    norm, x = norm_of("folded"), images()
    static = x[:1].expand(x.shape)
    doubles = copy.deepcopy(norm).double()
    torch.testing.assert_close(
        normed_sum(x.double(), doubles, x.double()),
        by_torch(x.double(), copy.deepcopy(doubles), x.double()),
    )
    normed_sum(static, norm, x)
    with torch.autocast("cpu", torch.bfloat16):
        normed_sum(x.bfloat16(), norm, x.bfloat16())
    norm.norm.register_forward_hook(lambda *args: None)
    normed_sum(x, norm, x)
    assert calls == []
    normed_sum(x, norm_of("folded"), x)
    assert len(calls) == 1  # the negative control


def test_a_single_value_is_refused_as_torch_refuses_it():
    norm = create_norm("per-step", 3, steps=2, image=True)
    with pytest.raises(ValueError, match="more than 1 value"):
        normed_sum(torch.rand(2, 1, 3, 1, 1), norm, torch.rand(2, 1, 3, 1, 1))


def block(join="add"):
    torch.manual_seed(2)
    main = nn.Sequential(nn.Tanh(), norm_of("folded"))
    return Residual(main, nn.Sequential(nn.Sigmoid()), join)


def test_a_block_is_the_same_by_kernels_and_by_torch(calls):
    mine, other, x = block(), block(), images()
    use_kernels(other, "reference")
    results = []
    for model in (mine, other):
        leaf = x.clone().requires_grad_()
        out = model(leaf)
        out.square().sum().backward()
        results.append((out, leaf.grad, *(p.grad for p in model.parameters())))
    assert len(calls) == 1
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("watched", ["main", "main.0", "main.1", "main.1.norm"])
def test_a_hook_within_a_block_sees_the_values(calls, watched):
    model, seen = block(), []
    model.get_submodule(watched).register_forward_hook(lambda m, a, out: seen.append(out))
    model(images())
    assert len(seen) == 1 and calls == []


@pytest.mark.parametrize("join", ["and", "iand"])
def test_torch_computes_products(calls, join):
    model, x = block(join), images()
    a, b = model.main(x), model.shortcut(x)
    model = block(join)
    assert torch.equal(model(x), a * b if join == "and" else (1 - a) * b)
    assert calls == []


@pytest.mark.parametrize("order", ["channels last", "contiguous", "mixed"])
def test_gradients_of_two_paths_are_added(order):
    x = images() if order == "channels last" else images().contiguous()
    weights = drawn(*x.shape, seed=3), drawn(*x.shape, seed=4)
    if order != "contiguous":
        weights = images(seed=3), images(seed=4) if order == "channels last" else weights[1]
    leaf = x.clone().requires_grad_()
    one, two = fork(leaf)
    ((one * weights[0]).sum() + (two * weights[1]).sum()).backward()
    assert torch.equal(leaf.grad, weights[0] + weights[1])


def test_one_path_alone():
    leaf = images().clone().requires_grad_()
    fork(leaf)[1].sum().backward()
    assert torch.equal(leaf.grad, torch.ones_like(leaf))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_1x1_convolution_is_that_of_torch(stride, dtype):
    torch.manual_seed(0)
    mine = PointConv2d(5, 7, stride=stride).to(dtype)
    other = nn.Conv2d(5, 7, 1, stride=stride, bias=False).to(dtype)
    other.load_state_dict(mine.state_dict())
    results = []
    for layer in (mine, other):
        x = drawn(3, 5, 8, 7).to(dtype).requires_grad_()
        out = layer(x)
        (out * drawn(*out.shape, seed=2).to(dtype)).sum().backward()
        results.append((out.detach(), x.grad, layer.weight.grad))
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)
