"""Batch norm over time in its three forms, against torch's own batch norm in plain loops."""

import warnings

import pytest
import torch
from torch import nn

from asnn.core import ConfigError
from asnn.models.layers.norm import FoldedNorm, PerStepNorm, SplitNorm, create_norm

T, B, C = 3, 6, 4


def different_steps(image: bool) -> torch.Tensor:
    """Steps with means 0, 5, 10 and deviations 1, 2, 3: no common average fits them."""
    shape = (T, B, C, 3, 2) if image else (T, B, C)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    t = torch.arange(T).view(-1, *[1] * (len(shape) - 1))
    return x * (t + 1) + 5 * t


def batch_norm(image: bool, momentum: float | None = 0.1) -> nn.Module:
    """torch's; without momentum its running statistics are means over all batches."""
    return (nn.BatchNorm2d if image else nn.BatchNorm1d)(C, momentum=momentum)


def moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each channel of `[N, C, ...]`."""
    values = x.transpose(0, 1).flatten(1)
    return values.mean(1), values.std(1, correction=0)


@pytest.mark.parametrize("image", [True, False])
def test_folded_has_the_statistics_of_all_steps(image):
    x = different_steps(image)
    norm, expected = create_norm("folded", C, steps=T, image=image), batch_norm(image, None)
    torch.testing.assert_close(norm(x), expected(x.flatten(0, 1)).unflatten(0, (T, B)))
    torch.testing.assert_close(norm.norm.running_mean, expected.running_mean)
    torch.testing.assert_close(norm.norm.running_var, expected.running_var)
    norm.eval(), expected.eval()
    torch.testing.assert_close(norm(x), expected(x.flatten(0, 1)).unflatten(0, (T, B)))


@pytest.mark.parametrize("image", [True, False])
def test_per_step_has_statistics_of_each_step(image):
    x = different_steps(image)
    norm = create_norm("per-step", C, steps=T, image=image)
    y = norm(x)
    for t in range(T):
        mean, deviation = moments(y[t])
        torch.testing.assert_close(mean, torch.zeros(C), atol=1e-5, rtol=0)
        torch.testing.assert_close(deviation, torch.ones(C), atol=1e-3, rtol=0)
        # Running averages begin with the first batch.
        torch.testing.assert_close(norm.norms[t].running_mean, moments(x[t])[0])
    norm.eval()
    expected = [(x[t] - norm.norms[t].running_mean.view(C, *[1] * (x.dim() - 3))) for t in range(T)]
    for t in range(T):
        scale = (norm.norms[t].running_var + 1e-5).sqrt().view(C, *[1] * (x.dim() - 3))
        torch.testing.assert_close(norm(x)[t], expected[t] / scale)


def test_folded_does_not_have_statistics_of_each_step():
    # The negative control of the test above.
    y = create_norm("folded", C, steps=T, image=True)(different_steps(True))
    assert all(moments(y[t])[0].abs().min() > 0.1 for t in (0, 2))


@pytest.mark.parametrize("image", [True, False])
def test_shared_is_one_norm_called_for_each_step(image):
    x = different_steps(image)
    with pytest.warns(UserWarning, match="norm 'shared' averages the statistics of steps"):
        norm = create_norm("shared", C, steps=T, image=image)
    expected = batch_norm(image, None)
    torch.testing.assert_close(norm(x), torch.stack([expected(step) for step in x]))
    torch.testing.assert_close(norm.norm.running_mean, expected.running_mean)
    norm.eval(), expected.eval()
    torch.testing.assert_close(norm(x), torch.stack([expected(step) for step in x]))


@pytest.mark.parametrize("form", ["folded", "per-step"])
def test_other_forms_do_not_warn(form):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_norm(form, C, steps=T, image=True)


def test_per_step_takes_fewer_steps():
    x = different_steps(True)
    norm = create_norm("per-step", C, steps=T, image=True).eval()
    torch.testing.assert_close(norm(x[:2]), norm(x)[:2])


def test_folded_computes_equal_steps_once():
    norm = FoldedNorm(nn.BatchNorm2d(C))
    seen = []
    norm.norm.register_forward_hook(lambda module, inputs, y: seen.append(inputs[0].shape))
    x = different_steps(True)[0]
    static = x.expand(T, *x.shape)
    y = norm(static)
    assert seen == [x.shape]
    torch.testing.assert_close(y, FoldedNorm(nn.BatchNorm2d(C))(static.contiguous()))
    seen.clear()
    norm(static.contiguous())
    assert seen == [(T * B, *x.shape[1:])]


@pytest.mark.parametrize("split", [1, 2])
def test_split_applies_one_norm_to_each_part(split):
    x = different_steps(True)
    head, tail = batch_norm(True), batch_norm(True)
    norm = SplitNorm(split, head=FoldedNorm(head), tail=FoldedNorm(tail))
    y = norm(x)
    for part in (y[:split], y[split:]):
        mean, deviation = moments(part.flatten(0, 1))
        torch.testing.assert_close(mean, torch.zeros(C), atol=1e-5, rtol=0)
        torch.testing.assert_close(deviation, torch.ones(C), atol=1e-3, rtol=0)
    means = [moments(part.flatten(0, 1))[0] / 10 for part in (x[:split], x[split:])]
    torch.testing.assert_close(head.running_mean, means[0])
    torch.testing.assert_close(tail.running_mean, means[1])
    # With no more steps than `split` the tail is not called.
    norm.eval()
    torch.testing.assert_close(norm(x[:split]), norm(x)[:split])


def test_the_names_in_saved_weights_are_those_of_version_0_1():
    norm = SplitNorm(1, head=FoldedNorm(batch_norm(True)), tail=FoldedNorm(batch_norm(True)))
    names = {name.rpartition(".")[0] for name in norm.state_dict()}
    assert names == {"first.norm", "others.norm"}


def test_a_per_step_tail_counts_steps_from_the_split():
    x = different_steps(True)
    norm = SplitNorm(
        1, FoldedNorm(batch_norm(True)), PerStepNorm([batch_norm(True) for _ in range(2)])
    )
    norm(x)
    for t in (1, 2):
        expected = moments(x[t])[0] / 10
        torch.testing.assert_close(norm.others.norms[t - 1].running_mean, expected)


def test_unknown_form():
    with pytest.raises(ConfigError) as caught:
        create_norm("perstep", C, steps=T, image=True)
    assert str(caught.value) == "unknown norm 'perstep': choose from folded, per-step, shared"
    assert caught.value.remedy == "did you mean 'per-step'?"
