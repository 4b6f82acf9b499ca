"""The temporal convolution: beside `nn.Conv3d`, three shifted `nn.Conv2d`, and step by step."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv3d, pad

from asnn.coding.factory import create_coding
from asnn.coding.samples import SampleSpec
from asnn.models import use_kernels
from asnn.models.layers.stem import Stem
from asnn.models.layers.temporal import TapConv2d, TemporalConv
from asnn.models.layers.time import OverTime
from asnn.models.stepwise import NotStepwise, stepper

BATCH, INPUTS, OUTPUTS = 2, 3, 16
DIFFERENCE = 1e-5


def _layer(causal: bool = False, stride: int = 1, inputs: int = INPUTS) -> TemporalConv:
    torch.manual_seed(0)
    taps = TapConv2d(inputs, OUTPUTS, 3, stride=stride, padding=1, causal=causal)
    return TemporalConv(OverTime(taps))


def _spikes(steps: int, channels: int = INPUTS) -> Tensor:
    g = torch.Generator().manual_seed(1)
    return (torch.rand(steps, BATCH, channels, 6, 5, generator=g) < 0.3).float()


def _conv3d(x: Tensor, weight: Tensor, stride: int, causal: bool) -> Tensor:
    """PyTorch's convolution of `[B, C, T, H, W]`, with the zeros before and behind in time."""
    volume = pad(x.permute(1, 2, 0, 3, 4), (0, 0, 0, 0, *((2, 0) if causal else (1, 1))))
    out = conv3d(volume, weight, stride=(1, stride, stride), padding=(0, 1, 1))
    return out.permute(2, 0, 1, 3, 4)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_it_is_conv3d_forward_and_backward(steps: int, causal: bool, stride: int) -> None:
    layer, x = _layer(causal, stride), _spikes(steps).requires_grad_()
    weight = layer.taps.layer.weight
    assert weight.shape == nn.Conv3d(INPUTS, OUTPUTS, 3).weight.shape
    out = layer(x)
    other = _conv3d(x, weight, stride, causal)
    torch.testing.assert_close(out, other, rtol=0, atol=DIFFERENCE)
    grad = torch.rand(out.shape, generator=torch.Generator().manual_seed(2))
    found = torch.autograd.grad(out, [x, weight], grad)
    expected = torch.autograd.grad(other, [x, weight], grad)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=DIFFERENCE)


def test_it_is_the_sum_of_three_shifted_convolutions() -> None:
    layer, x = _layer(), _spikes(4)
    w = layer.taps.layer.weight
    kernels = [w[:, :, k] for k in range(3)]
    silent = torch.zeros_like(x[0])
    around = [silent, *x, silent]
    expected = torch.stack(
        [
            sum(conv2d(around[t + k], kernels[k], padding=1) for k in range(3))  # type: ignore[misc]
            for t in range(len(x))
        ]
    )
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=DIFFERENCE)
    # Negative control: with the order of time turned round it is another function.
    assert (layer(x.flip(0)) - expected.flip(0)).abs().max() > 0.1


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_every_kind_of_kernel_gives_the_same(steps: int, causal: bool) -> None:
    layer, x = _layer(causal, inputs=16), _spikes(steps, 16).requires_grad_()
    results = []
    for kernels in ("auto", "reference"):
        use_kernels(layer, kernels)
        out = layer(x)
        gradients = torch.autograd.grad(out.square().sum(), [x, layer.taps.layer.weight])
        results.append((out, *gradients))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_of_equal_steps_one_is_convolved(steps: int, causal: bool) -> None:
    torch.manual_seed(0)
    coding = create_coding("direct", steps=steps)
    coding.bind(SampleSpec("image", (INPUTS, 6, 5)))
    stem = Stem(
        coding,
        lambda: TapConv2d(INPUTS, OUTPUTS, 3, padding=1, causal=causal),
        mean=[0.2] * INPUTS,
        std=[0.5] * INPUTS,
    )
    layer = TemporalConv(stem)
    calls: list[int] = []
    stem.analog.register_forward_pre_hook(lambda _, x: calls.append(len(x[0])))
    image = torch.rand(BATCH, INPUTS, 6, 5)
    out = layer(coding.encode(image))
    assert calls == [BATCH]
    same = ((image - 0.2) / 0.5).expand(steps, *image.shape)
    expected = _conv3d(same, stem.analog.weight, 1, causal)
    torch.testing.assert_close(out, expected, rtol=0, atol=DIFFERENCE)
    grad = torch.rand(out.shape, generator=torch.Generator().manual_seed(2))
    found, same = (
        torch.autograd.grad(each, stem.analog.weight, grad)[0] for each in (out, expected)
    )
    torch.testing.assert_close(found, same, rtol=1e-4, atol=1e-4)
    assert out.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    if steps == 4:
        # The ends differ, as they do not see the zeros outside; what is between is the same.
        distinct = {tuple(step.flatten().tolist()) for step in out}
        assert len(distinct) == 3


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_a_batch_may_be_empty(kernels: str) -> None:
    layer, x = _layer(), _spikes(3)[:, :0].requires_grad_()
    use_kernels(layer, kernels)
    out = layer(x)
    assert out.shape == (3, 0, OUTPUTS, 6, 5)
    out.sum().backward()
    assert not layer.taps.layer.weight.grad.any()


def test_a_causal_one_runs_step_by_step() -> None:
    layer, x = _layer(causal=True), _spikes(5)
    step = stepper(layer)
    by_step = torch.stack([step(each) for each in x])
    torch.testing.assert_close(by_step, layer(x), rtol=0, atol=DIFFERENCE)
    # The first steps do not depend on later ones.
    torch.testing.assert_close(layer(x[:2]), layer(x)[:2], rtol=0, atol=DIFFERENCE)


def test_one_that_looks_ahead_does_not_run_step_by_step() -> None:
    with pytest.raises(NotStepwise) as found:
        stepper(_layer())
    assert str(found.value.what) == "a temporal convolution reads the next step"
    assert found.value.remedy == "compute all steps at once, or train with model.causal=true"
    x = _spikes(4)
    assert not torch.allclose(_layer()(x[:2])[1], _layer()(x)[1])


def test_images_stay_in_channels_last_order() -> None:
    """The kernels of the layers around it read channels last: another order would be copied."""
    layer, x = _layer(), _spikes(3).requires_grad_()
    grads: list[Tensor] = []
    layer.taps.register_full_backward_pre_hook(lambda _, grad: grads.append(grad[0]))
    out = layer(x)
    out.square().sum().backward()
    for images in (out, *grads):
        assert images.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_a_frozen_one_computes_its_weights_once() -> None:
    layer, x = _layer(), _spikes(3)
    taps = layer.taps.layer
    taps.freeze()
    assert taps.effective()[0] is taps.effective()[0]
    torch.testing.assert_close(layer(x), _layer()(x))
    assert copy.deepcopy(taps)._effective is None
