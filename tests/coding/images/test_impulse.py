"""The impulse code: its steps add up to the image, and a network's stem makes means of them."""

import pytest
import torch

from asnn.coding import create_coding
from asnn.models import create_model
from asnn.models.layers.stem import Stem

STEPS = 5
MEAN, STD = [0.3, 0.6], [0.5, 0.25]


def image(batch=3, channels=2):
    return torch.rand(batch, channels, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("spread", [False, True])
def test_the_steps_add_up_to_the_image(spread):
    coding = create_coding("impulse", steps=STEPS, spread=spread)
    x = image().double()
    code = coding.encode(x)
    torch.testing.assert_close(code.sum(0), x)
    torch.testing.assert_close(coding.decode(code), x)
    assert coding.static == spread
    if not spread:
        assert torch.equal(code[0], x) and not code[1:].any()
    # Negative control: a code that shows the image at every step does not.
    assert not torch.allclose(create_coding("direct", steps=STEPS).encode(x).sum(0), x)


def test_each_step_holds_one_step_only():
    coding = create_coding("impulse", steps=1000)
    steps = list(coding.each_step(image()))
    assert len(steps) == 1000
    assert len({step.data_ptr() for step in steps}) == 2  # the image and one step of zeros


def stem(spread=False, bias=True, coding="impulse"):
    torch.manual_seed(0)
    options = {"spread": spread} if coding == "impulse" else {}
    code = create_coding(coding, steps=STEPS, **options)

    def make():
        return torch.nn.Conv2d(2, 3, 3, padding=1, bias=bias)

    return code, Stem(code, make, mean=MEAN, std=STD).double()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("spread", [False, True])
def test_the_mean_of_a_stem_is_its_output_for_the_image(spread, bias):
    code, layer = stem(spread, bias)
    x = image().double()
    assert layer.spikes is None  # one set of weights
    mean, std = layer.mean, layer.std
    expected = layer.analog((x - mean) / std)
    out = layer(code.encode(x))
    assert out.shape == (STEPS, *expected.shape)
    torch.testing.assert_close(out.mean(0), expected)
    torch.testing.assert_close(layer.mean_output(code.each_step(x)), expected)
    for t, step in enumerate(code.each_step(x)):
        torch.testing.assert_close(layer.step(step, t), out[t])
    if not spread:  # all of the image at the first step, the bias at every one
        silent = layer.analog(torch.zeros_like(x))
        torch.testing.assert_close(out[0] - silent, STEPS * (expected - silent))
        torch.testing.assert_close(out[1:], silent.expand_as(out[1:]))


@pytest.mark.parametrize("coding", ["direct", "rate"])
def test_steps_and_mean_of_other_stems(coding):
    code, layer = stem(coding=coding)
    x = image().double()
    steps = code.encode(x)
    out = layer(steps)
    torch.testing.assert_close(torch.stack([layer.step(s, t) for t, s in enumerate(steps)]), out)
    torch.testing.assert_close(layer.mean_output(iter(steps)), out.mean(0))


def test_a_dual_stem_has_no_mean():
    code, layer = stem(coding="hybrid")
    with pytest.raises(ValueError, match="a dual stem has no weights for a mean"):
        layer.mean_output(code.each_step(image().double()))


@pytest.mark.parametrize("norm", ["folded", "per-step"])
def test_networks_of_impulses_learn(norm):
    model = create_model(
        "lenet", in_shape=(2, 4, 4), classes=3, coding="impulse", steps=STEPS,
        mean=MEAN, std=STD, widths=[4], hidden=8, norm=norm,
    )  # fmt: skip
    logits = model(image(6))
    assert logits.shape == (STEPS, 6, 3)
    logits.square().sum().backward()
    assert model.body.conv1.analog.weight.grad.any()
    with torch.no_grad():
        model.eval()
        torch.testing.assert_close(model.frozen()(image(6)), model(image(6)))
