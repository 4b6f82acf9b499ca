"""Networks: shapes, sizes, and their mathematics against loops over steps."""

import copy
import math

import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, linear, max_pool2d

from asnn.core import ConfigError
from asnn.models import create_model
from asnn.models.factory import model_registry
from asnn.models.neurons.registry import neuron_registry
from tests.support.samples import CODES, IMAGE_CODES, batch_of, spec_for

SHAPES = [(1, 8, 8), (3, 32, 32), (1, 1, 1), (2, 5, 9)]
SMALL = {"lenet": {"widths": [3, 4], "hidden": 5}, "mlp": {"features": [6, 5]}}


def small(name: str = "lenet", *, steps: int = 3, in_shape=(2, 6, 5), classes: int = 4, **options):
    torch.manual_seed(0)
    return create_model(
        name, in_shape=in_shape, classes=classes, steps=steps, **{**SMALL[name], **options}
    )


def image(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def calibrated(model):
    """The network in float64 and evaluation mode, with random parameters and statistics of data.

    In float64 two orders of the same sums cannot decide a spike differently by rounding.
    """
    model = model.double().train()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(1 + 0.3 * torch.rand_like(parameter))
            if name.endswith("gain"):
                parameter.mul_(4)  # otherwise a small network does not spike
        channels, height, width = model.config["in_shape"]
        for _ in range(20):
            model(torch.rand(16, channels, height, width, dtype=torch.float64))
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet", "mlp"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("coding", CODES)
def test_logits_for_every_coding_and_shape(coding, shape, name):
    spec = spec_for(coding, shape, steps=3)
    model = small(name, in_shape=spec.shape, coding=coding, sample=spec)
    logits = model(batch_of(spec, 2))
    assert logits.shape == (3, 2, 4)
    assert logits.isfinite().all()
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.eval()(batch_of(spec, 0)).shape == (3, 0, 4)


@pytest.mark.filterwarnings("ignore:norm 'shared'")
@pytest.mark.parametrize("name", ["lenet", "mlp"])
@pytest.mark.parametrize("norm", ["folded", "per-step", "shared"])
@pytest.mark.parametrize("coding", ["direct", "temporal", "hybrid"])
def test_logits_for_every_norm(coding, norm, name):
    model = small(name, coding=coding, norm=norm)
    assert model(image(3, 2, 6, 5)).shape == (3, 3, 4)
    assert model.eval()(image(1, 2, 6, 5)).shape == (3, 1, 4)


def test_shared_norm_warns():
    with pytest.warns(UserWarning, match="norm 'shared' averages the statistics"):
        small(norm="shared")


def test_single_step():
    for coding in set(IMAGE_CODES) - {"hybrid", "hybrid-embedding"}:
        assert small(steps=1, coding=coding)(image(2, 2, 6, 5)).shape == (1, 2, 4)


def size(model) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("neuron", "adaptive"), [("adaptive", True), ("fixed", False)])
@pytest.mark.parametrize(
    ("coding", "stems"), [("hybrid", 2), ("hybrid-embedding", 2), ("temporal", 1), ("direct", 1)]
)
def test_number_of_parameters_of_lenet(coding, stems, neuron, adaptive):
    # arXiv 2408.12407 for CIFAR-100: 3x32x32, widths 32, 48, 64, pooled three times to 4x4, T = 7.
    steps = 7
    convolutions = stems * 3 * 32 * 9 + 32 * 48 * 9 + 48 * 64 * 9
    norms = 2 * (stems * 32 + 48 + 64 + 256)
    layers = 64 * 4 * 4 * 256 + (256 * 100 + 100)
    schedules = adaptive * (4 * 2 * steps + steps)  # leak, gain; the readout's scale
    model = create_model(
        "lenet", in_shape=(3, 32, 32), classes=100, coding=coding, steps=steps, neuron=neuron
    )
    assert size(model) == convolutions + norms + layers + schedules


def test_number_of_parameters_of_mlp():
    model = create_model("mlp", in_shape=(1, 8, 8), classes=10, coding="temporal", steps=4)
    layers = 64 * 256 + 256 * 256 + (256 * 10 + 10)
    assert size(model) == layers + 2 * (256 + 256) + 2 * 2 * 4 + 4


def test_number_of_parameters_of_other_norms_and_neurons():
    # Per-step norms: T times weight and bias. Schedules by channel: leak and gain [T, C].
    folded, per_step = (size(small(coding="temporal", norm=n)) for n in ("folded", "per-step"))
    assert per_step - folded == (3 - 1) * 2 * (3 + 4 + 5)
    channel = size(small(coding="temporal", neuron_options={"granularity": "channel"}))
    assert channel - folded == 3 * 2 * ((3 + 4 + 5) - 3)


def neuron_by_step(x, leak, gain):
    v, spikes = torch.zeros_like(x[0]), []
    for t, x_t in enumerate(x):
        v = leak[t] * v + gain[t] * x_t
        s = (v > 1).to(v.dtype)
        v = v - s
        spikes.append(s)
    return spikes


def lenet_by_step(model, code, norm_of, leak_factor=1.0):
    """The lenet of docs/method.md from its weights alone, one step at a time."""
    weights = dict(model.state_dict())
    analog_steps = model.coding.analog_steps

    def normed(x, layer, t):
        at = f"body.spikes{layer}.norm.{norm_of(layer, t)}"
        named = [weights[f"{at}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")]
        return batch_norm(x, *named)

    def neuron(steps, layer):
        at = f"body.spikes{layer}.neuron"
        return neuron_by_step(steps, leak_factor * weights[f"{at}.leak"], weights[f"{at}.gain"])

    x = list(code)
    for layer in (1, 2):
        for t in range(len(x)):
            stem = ".analog" if t < analog_steps else ".spikes"
            at = f"body.conv{layer}{stem if layer == 1 else '.layer'}.weight"
            x[t] = normed(conv2d(x[t], weights[at], padding=1), layer, t)
        x = [max_pool2d(s, 2) for s in neuron(x, layer)]
    x = [normed(linear(s.flatten(1), weights["body.linear.layer.weight"]), 3, t)
         for t, s in enumerate(x)]  # fmt: skip
    w, b = weights["body.readout.linear.weight"], weights["body.readout.linear.bias"]
    scale = weights["body.readout.scale"]
    return torch.stack([scale[t] * linear(s, w, b) for t, s in enumerate(neuron(x, 3))])


NORM_PATHS = {
    ("temporal", "folded"): lambda layer, t: "norm",
    ("temporal", "per-step"): lambda layer, t: f"norms.{t}",
    ("direct", "folded"): lambda layer, t: "norm",
    ("direct", "per-step"): lambda layer, t: f"norms.{t}",
    ("hybrid", "folded"): lambda layer, t: (
        "norm" if layer > 1 else "first.norm" if t == 0 else "others.norm"
    ),
    ("hybrid", "per-step"): lambda layer, t: (
        f"norms.{t}" if layer > 1 else "first.norms.0" if t == 0 else f"others.norms.{t - 1}"
    ),
}


@pytest.mark.parametrize(("coding", "norm"), list(NORM_PATHS))
def test_folding_time_equals_a_loop_over_steps(coding, norm):
    model = calibrated(small(coding=coding, norm=norm, classes=3, steps=4))
    x = image(5, 2, 6, 5).double()
    with torch.no_grad():
        code = model.coding.encode(x)
        logits = model(x)
        expected = lenet_by_step(model, code, NORM_PATHS[coding, norm])
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-9)
        other = lenet_by_step(model, code, NORM_PATHS[coding, norm], leak_factor=0.8)
    assert not torch.allclose(logits, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_a_static_stem_equals_one_computed_at_every_step(name, training):
    static = calibrated(small(name, coding="direct", mean=[0.4, 0.6], std=[0.2, 0.3]))
    static.train(training)
    every = copy.deepcopy(static)
    x = image(6, 2, 6, 5).double()
    code = static.coding.encode(x)
    every.body[0].static = False
    found, expected = static.run(code), every.run(code.contiguous())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    found.square().sum().backward()
    expected.square().sum().backward()
    for mine, theirs in zip(static.parameters(), every.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_direct_code_runs_the_stem_on_one_step_only(name):
    model = small(name, coding="direct")
    seen = []
    model.body[0].analog.register_forward_hook(lambda m, i, y: seen.append(len(i[0])))
    model(image(6, 2, 6, 5))
    assert seen == [6]


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["direct", "temporal", "hybrid", "delta"])
@pytest.mark.parametrize("norm", ["folded", "per-step"])
def test_fewer_steps_are_the_first_logits(coding, norm):
    model = calibrated(small(coding=coding, norm=norm, steps=4))
    x = image(5, 2, 6, 5).double()
    logits = model(x)
    for steps in (1, 2, 3, 4):
        torch.testing.assert_close(model(x, steps), logits[:steps], rtol=0, atol=1e-9)
        torch.testing.assert_close(
            model.predict(x, steps), sum(logits[:steps]) / steps, rtol=0, atol=1e-9
        )
    torch.testing.assert_close(model.predict(x), logits.mean(0))
    assert not model.predict(x).requires_grad


@pytest.mark.parametrize(
    ("options", "scaled"),
    [
        ({"neuron": "adaptive"}, True),
        ({"neuron": "fixed"}, False),
        ({"neuron": "adaptive", "output_scale": False}, False),
        ({"neuron": "fixed", "output_scale": True}, True),
    ],
)
def test_the_default_output_scale_depends_on_the_neuron(options, scaled):
    model = calibrated(small(**options))
    names = [name for name, _ in model.named_parameters() if name.endswith("scale")]
    assert names == ["body.readout.scale"] * scaled
    assert model.config["output_scale"] is scaled
    learned = [n for n, _ in model.named_parameters() if n.endswith((".leak", ".gain"))]
    assert len(learned) == (6 if options["neuron"] == "adaptive" else 0)
    if scaled:
        x = image(5, 2, 6, 5).double()
        before = model(x)
        with torch.no_grad():
            model.body.readout.scale[1] *= 3
        factors = torch.tensor([1.0, 3.0, 1.0]).double().view(-1, 1, 1)
        torch.testing.assert_close(model(x), before * factors)


@pytest.mark.parametrize("coding", ["hybrid", "hybrid-embedding"])
@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_hybrid_codes_have_two_stems(name, coding):
    model = calibrated(small(name, coding=coding))
    stem = model.body[0]
    x = image(5, 2, 6, 5).double()
    before = stem(model.coding.encode(x))
    with torch.no_grad():
        for parameter in stem.analog.parameters():
            parameter.mul_(2)
    after = stem(model.coding.encode(x))
    torch.testing.assert_close(after[0], 2 * before[0])
    torch.testing.assert_close(after[1:], before[1:])
    assert before[1:].abs().sum() > 0


@pytest.mark.parametrize(
    ("coding", "analog", "spikes"),
    [("direct", True, False), ("temporal", False, True), ("hybrid", True, True)],
)
def test_a_stem_has_weights_for_its_kinds_of_steps_only(coding, analog, spikes):
    stem = small(coding=coding).body[0]
    assert (stem.analog is not None, stem.spikes is not None) == (analog, spikes)


@pytest.mark.parametrize("coding", ["direct", "hybrid", "temporal"])
def test_mean_and_deviation_normalise_analog_steps_only(coding):
    x = image(5, 2, 6, 5).double()
    plain = calibrated(small(coding=coding))
    normalised = small(coding=coding, mean=[0.4, 0.6], std=[0.2, 0.5]).double().eval()
    state = plain.state_dict()
    kept = {k: v for k, v in state.items() if not k.endswith((".mean", ".std"))}
    assert set(normalised.load_state_dict(kept, strict=False).missing_keys) == {
        "body.conv1.mean",
        "body.conv1.std",
    }
    code = plain.coding.encode(x)
    by_hand = code.clone()
    for c, (mean, std) in enumerate(((0.4, 0.2), (0.6, 0.5))):
        for t in range(plain.coding.analog_steps):
            by_hand[t, :, c] = (code[t, :, c] - mean) / std
    torch.testing.assert_close(
        normalised.body[0](code), plain.body[0](by_hand), rtol=1e-6, atol=1e-6
    )
    assert torch.equal(by_hand, code) == (coding == "temporal")


@pytest.mark.slow
def test_per_step_norms_have_statistics_of_each_step_in_a_network():
    # Dark images: a temporal code has no spikes at its first steps, and most at the last.
    x = image(32, 2, 6, 5) ** 3
    for form in ("per-step", "folded"):
        model = small(coding="temporal", norm=form)
        inputs = model.body[0](model.coding.encode(x)).detach()
        by_step = inputs.mean((1, 3, 4))
        assert (by_step[0] - by_step[2]).abs().min() > 0.01
        for _ in range(60):  # running averages come within 0.9^60 = 0.2 % of the mean
            model(x)
        norm = model.body.spikes1.norm
        if form == "per-step":
            found = torch.stack([of_step.running_mean for of_step in norm.norms])
            torch.testing.assert_close(found, by_step, rtol=0.01, atol=1e-4)
        else:
            torch.testing.assert_close(
                norm.norm.running_mean, by_step.mean(0), rtol=0.01, atol=1e-4
            )


def test_layers_are_pooled_until_an_axis_is_one():
    model = small(in_shape=(1, 2, 9), widths=[2, 2, 2], coding="temporal")
    shapes = []
    for i in (1, 2, 3):
        layer = model.body.get_submodule(f"spikes{i}")
        layer.register_forward_hook(lambda m, inputs, y: shapes.append(tuple(y.shape[-2:])))
    model(image(2, 1, 2, 9))
    assert shapes == [(1, 4), (1, 2), (1, 1)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "classes, the number of outputs, must be at least 1, not 0"),
        ({"in_shape": (1, 0, 8)}, "in_shape must be (channels, height, width), not (1, 0, 8)"),
        ({"widths": []}, "widths and hidden must be positive, not [] and 5"),
        ({"widths": [3, 0]}, "widths and hidden must be positive, not [3, 0] and 5"),
        ({"hidden": 0}, "widths and hidden must be positive, not [3, 4] and 0"),
        ({"norm": "batch"}, "unknown norm 'batch': choose from folded, per-step, shared"),
        (
            {"neuron": "morris-lecar"},
            f"unknown neuron 'morris-lecar': choose from {', '.join(neuron_registry.names())}",
        ),
        ({"coding": "hybrid", "steps": 1}, "the code 'hybrid' needs 2 steps or more, not 1"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ConfigError) as caught:
        small(**options)
    assert str(caught.value) == message


@pytest.mark.parametrize("features", [[], [4, 0]])
def test_mlp_without_features(features):
    with pytest.raises(ConfigError) as caught:
        small("mlp", features=features)
    assert str(caught.value) == f"features must be positive, not {features}"


def test_unknown_model():
    with pytest.raises(ConfigError) as caught:
        create_model("lenett", in_shape=(1, 8, 8), classes=10)
    assert caught.value.what == "unknown model 'lenett'"
    assert caught.value.why == f"choose from {', '.join(model_registry.names())}"
    assert caught.value.remedy == "did you mean 'lenet'?"


def test_code_and_neuron_options_reach_their_targets():
    model = small(
        coding="temporal",
        coding_options={"thresholds": "quantile"},
        neuron_options={"reset": "zero", "surrogate": "atan", "leak": 0.25},
    )
    table = model.coding.thresholds.table().tolist()
    # 1 / (1 + exp(-Φ⁻¹(2/3))), Φ⁻¹(2/3) = 0.4307273 (tables of the normal distribution).
    assert table[0] == pytest.approx(1 / (1 + math.exp(-0.4307273)), abs=1e-6)
    neuron = model.body.spikes1.neuron
    assert neuron.options.reset == "zero"
    assert neuron.options.surrogate == "atan"
    assert (neuron.leak == 0.25).all()


def test_config_builds_the_same_network_again():
    model = small(coding="hybrid", neuron_options={"granularity": "channel"}, norm="per-step")
    config = copy.deepcopy(model.config)
    again = create_model(config.pop("name"), **{**config, "in_shape": tuple(config["in_shape"])})
    again.load_state_dict(model.state_dict())
    x = image(2, 2, 6, 5)
    assert torch.equal(again.eval()(x), model.eval()(x))
    assert again.config == model.config
