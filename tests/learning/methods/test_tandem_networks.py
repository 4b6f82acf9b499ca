"""Coupled layers: closed forms, equal spikes, gradients of the ANN with replaced activations."""

import pytest
import torch
from torch import nn

from asnn.core import ConfigError
from asnn.learning.methods.tandem import network as tandem_network
from asnn.learning.methods.tandem.chain import find_chain
from asnn.learning.methods.tandem.network import Coupled, Hybrid, StepMean, step_means
from asnn.models import SpikingNetwork, create_model, model_registry
from asnn.models import blocks as blocks_of
from asnn.models.layers.convolution import SpikeConv2d
from asnn.models.layers.spiking import SpikingLayer, layer_outputs
from asnn.models.layers.time import OverTime

STEPS = 8
OPTIONS = {
    "lenet": {"widths": [4, 4], "hidden": 8, "pool": "mean"},
    "mlp": {"features": [12, 8]},
    "vgg": {"width": 1, "variant": "vggsnn"},
}


def network(name="lenet", *, coding="impulse", seed=0, most=1, neuron=None, steps=STEPS, **options):
    torch.manual_seed(seed)
    model = create_model(
        name, in_shape=(1, 8, 8), classes=3, coding=coding, steps=steps, mean=[0.4], std=[0.5],
        neuron="integrate", output_scale=False,
        neuron_options={"gradient": "none", "amplitude": 0.8, "most": most, **(neuron or {})},
        **{**OPTIONS.get(name, {}), **options},
    )  # fmt: skip
    for module in model.modules():  # statistics that are not those of a new norm
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.3, 0.9)
            nn.init.uniform_(module.bias, 0.0, 0.4)
    return model


def images(count=6, seed=1):
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["lenet", "mlp", "vgg"])
def test_a_network_is_a_chain(name):
    model = network(name)
    chain = find_chain(model)
    layers = [key for key, each in model.body.named_children()]
    assert [*chain.before(len(chain.blocks)), *chain.tail] == layers
    assert [*chain.before(1), *chain.behind(1)] == layers
    spiking = [k for k, each in model.body.named_children() if isinstance(each, SpikingLayer)]
    assert list(chain.blocks) == spiking


@pytest.mark.parametrize("coding", ["impulse", "direct", "rate"])
@pytest.mark.parametrize("name, most", [("lenet", 1), ("lenet", 3), ("mlp", 1), ("vgg", 1)])
def test_the_spikes_are_those_of_the_network_for_inference(name, most, coding):
    """Step by step, without the other steps: not one spike differs."""
    model = network(name, coding=coding, most=most).eval().double()
    x = images(16).double()
    code = model.coding.encode(x)
    frozen = model.frozen()
    with torch.no_grad(), layer_outputs(frozen) as outputs:
        frozen.run(code)
    layers = list(frozen.body)[:-1]
    found = step_means(layers, iter(code))
    assert len(found) == len(outputs) > 0
    spikes = 0.0
    for mean, (key, out) in zip(found, outputs.items(), strict=True):
        amplitude = frozen.get_submodule(f"body.{key}").neuron.amplitude
        # Of equal spikes at every step, the sums are equal to the last bit but for the pool.
        torch.testing.assert_close(mean[0], out.mean(0), rtol=1e-12, atol=1e-12)
        spikes += float((mean * STEPS / amplitude).sum())
    assert spikes > 100


def test_another_amplitude_gives_other_spikes():
    """Negative control of the comparison above."""
    model = network().eval().double()
    x = images(16).double()
    layers = list(model.frozen().body)[:-1]
    before = step_means(layers, model.coding.each_step(x))
    layers[1].neuron.raw_amplitude *= 1.05
    after = step_means(layers, model.coding.each_step(x))
    assert not torch.allclose(before[0], after[0]) and not torch.allclose(before[1], after[1])


@pytest.mark.parametrize("steps", [4, 16, 256])
@pytest.mark.parametrize("coding", ["impulse", "direct"])
def test_the_mean_output_is_the_activation_up_to_one_spike(coding, steps):
    """|c - a| ≤ V / T for a clipped to V: V / T is the V of the paper, which adds instead.

    Of an impulse only without a bias: a negative one comes too late to take back spikes.
    """
    limit = 2.0
    model = network("mlp", coding=coding, steps=steps, neuron={"amplitude": limit})
    if coding == "impulse":
        norm = model.body.spikes1.norm.norm
        nn.init.zeros_(norm.running_mean)
        nn.init.zeros_(norm.bias)
    model.eval().double()
    x = images(32).double()
    stem, layer = list(model.frozen().body)[:2]
    (mean,) = step_means([stem, layer], model.coding.each_step(x))
    activation = stem.mean_output(model.coding.each_step(x)).relu()
    assert (activation > 0).double().mean() > 0.2
    error = (mean[0] - activation.clamp(max=limit)).abs()
    assert error.max() <= limit / steps * (1 + 1e-9)
    assert error.max() > limit / steps / 2  # the bound is tight


def replaced_loss(model, x, offsets=None):
    """The loss of the ANN whose activations are a + offset, in training mode; and the offsets that
    make them the means of the spikes. Written out for an `mlp`."""
    chain = find_chain(model)
    means = step_means(list(model.frozen().body)[:-1], model.coding.each_step(x))
    made, value = [], None
    for at, block in enumerate(chain.blocks.values()):
        *affine, layer = block.values()
        if value is None:
            mean, std = affine[0].mean, affine[0].std
            y = affine[0].analog((x - mean) / std)  # flattens
        else:
            y = affine[0].layer(value)
        norm = layer.norm.norm
        # Batch norm with the statistics of the batch, from its formula.
        y = (y - y.mean(0)) / (y.var(0, unbiased=False) + norm.eps).sqrt()
        a = (y * norm.weight + norm.bias).relu()
        offset = (means[at][0] - a).detach() if offsets is None else offsets[at]
        made.append(offset)
        value = a + offset
    readout = chain.tail["readout"].linear
    logits = value @ readout.weight.T + readout.bias
    return nn.functional.cross_entropy(logits, torch.arange(len(x)) % 3), made


@pytest.mark.slow
def test_gradients_are_those_of_the_ann_with_replaced_activations():
    """Finite differences in float64, with what the spikes add to an activation held constant."""
    model = network("mlp", features=[5, 4]).double()
    x = images(9).double()
    model.eval()
    _, offsets = replaced_loss(model, x)
    model.train()
    logits = Coupled(model, find_chain(model))(x)
    assert logits.shape == (1, 9, 3)
    loss = nn.functional.cross_entropy(logits[0], torch.arange(9) % 3)
    loss.backward()
    with torch.no_grad():
        model.eval()
        same, _ = replaced_loss(model, x, offsets)
        torch.testing.assert_close(loss.detach(), same)
        generator = torch.Generator().manual_seed(0)
        compared = 0
        for parameter in model.parameters():
            flat, grad = parameter.view(-1), parameter.grad.view(-1)
            for index in torch.randperm(len(flat), generator=generator)[:6].tolist():
                kept, h = float(flat[index]), 1e-6
                flat[index] = kept + h
                up, _ = replaced_loss(model, x, offsets)
                flat[index] = kept - h
                down, _ = replaced_loss(model, x, offsets)
                flat[index] = kept
                slope = float(up - down) / (2 * h)
                assert float(grad[index]) == pytest.approx(slope, abs=1e-7)
                compared += slope != 0
        assert compared > 20


def test_without_the_replacement_the_gradients_differ():
    """Negative control: those of the plain ANN are others."""
    model = network("mlp", features=[5, 4]).double().train()
    x = images(9).double()
    found = []
    for replaced in (True, False):
        model.zero_grad()
        with pytest.MonkeyPatch.context() as patch:
            if not replaced:
                keep = type("Keep", (), {"apply": staticmethod(lambda a, spiking: a)})
                patch.setattr(tandem_network, "_Replaced", keep)
            logits = Coupled(model, find_chain(model))(x)
        nn.functional.cross_entropy(logits[0], torch.arange(9) % 3).backward()
        found.append(model.body.linear1.analog[1].weight.grad.clone())
    assert not torch.allclose(found[0], found[1], rtol=1e-3)


@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_a_hybrid_in_training_is_a_hybrid_in_evaluation(name):
    model = network(name).double().eval()
    x = images().double()
    chain = find_chain(model)
    for coupled in range(1, len(chain.blocks) + 1):
        hybrid = Hybrid(model, chain, coupled)
        assert hybrid.training
        trained = hybrid(x)  # norms are in evaluation mode
        assert trained.shape == (1, len(x), 3)
        torch.testing.assert_close(hybrid.mean_logits(x), trained[0])
        evaluated = hybrid.eval()(x)
        assert evaluated.shape == (STEPS, len(x), 3)
        torch.testing.assert_close(evaluated, trained.expand_as(evaluated))
        torch.testing.assert_close(hybrid.predict(x), trained[0])
    # With all of its layers coupled it is the network.
    torch.testing.assert_close(model(x).mean(0), trained[0])
    assert not torch.allclose(Hybrid(model, chain, 1).eval()(x)[0], trained[0])


def test_a_hybrid_learns_behind_its_spiking_layers_only():
    model = network()
    chain = find_chain(model)
    Hybrid(model, chain, 2)(images()).square().sum().backward()
    for layer in chain.before(2).values():
        assert all(p.grad is None for p in layer.parameters())
    for layer in chain.behind(2).values():
        assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


def test_counts_of_another_sample_are_noticed(monkeypatch):
    """Negative control: with the means of the next sample, the outputs are those of the next."""
    model = network().eval()
    x = images()
    hybrid = Hybrid(model, find_chain(model), 2)
    before = hybrid(x)
    exact = tandem_network.step_means
    monkeypatch.setattr(
        tandem_network, "step_means", lambda *given: [m.roll(1, 1) for m in exact(*given)]
    )
    torch.testing.assert_close(hybrid(x), before.roll(1, 1))
    assert not torch.allclose(hybrid(x), before)


def test_spikes_are_counted_while_it_trains():
    from asnn.measure.spikes import SpikeRates

    model = network(most=3).eval()
    x = images()
    with SpikeRates(model) as trained:
        Hybrid(model, find_chain(model), 3)(x)
    with SpikeRates(model) as expected, torch.no_grad():
        model(x)
    assert trained.by_layer().keys() == expected.by_layer().keys()
    assert trained.total() == expected.total() > 0
    assert trained.mean() == pytest.approx(expected.mean())


def test_the_mean_over_the_steps():
    x = torch.rand(4, 2, 3)
    torch.testing.assert_close(StepMean()(x)[0], sum(x) / 4)


def plug_in(ctx, *, width: int = 6):
    """A network as another package may have it: sequences in a sequence, pools of its own."""
    stem, norm = blocks_of.stem(
        ctx, lambda: SpikeConv2d(1, width, 3, padding=1, bias=False), width, "folded"
    )
    body = blocks_of.sequence(
        first=blocks_of.sequence(stem=stem, spikes=SpikingLayer(norm, ctx.make_neuron(width))),
        second=blocks_of.sequence(
            pool=OverTime(nn.AvgPool2d(2)),
            conv=blocks_of.conv(width, width),
            spikes=blocks_of.normed_neuron(ctx, width, "folded"),
        ),
        mean=blocks_of.global_avg_pool((4, 4)),
        flatten=nn.Flatten(2),
        readout=blocks_of.readout(ctx, width),
    )
    return SpikingNetwork(ctx.coding, body)


def test_a_network_of_another_package_is_coupled(monkeypatch):
    point = type("Point", (), {"value": "x", "load": lambda self: plug_in})()
    monkeypatch.setitem(model_registry.__dict__, "_external", {"plug-in": point})
    model = network("plug-in").double().eval()
    chain = find_chain(model)
    assert list(chain.blocks) == ["first_spikes", "second_spikes"]
    x = images().double()
    hybrid = Hybrid(model, chain, 2)
    torch.testing.assert_close(hybrid(x)[0], model(x).mean(0))
    torch.testing.assert_close(hybrid.eval()(x)[0], model(x).mean(0))
    model.train()
    Coupled(model, chain)(x).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


REFUSED = {
    "ms-resnet": ({"name": "ms-resnet"}, "Residual is no affine layer, norm, neuron or pool"),
    "synapse": ({"synapse": "exp"}, "a filter over time has no one activation"),
    "hybrid": ({"coding": "hybrid"}, "analog steps and spikes have weights of their own"),
    "learned": (
        {"neuron": {"gradient": "surrogate", "learn_amplitude": True}},
        "the amplitudes are calibrated, they are not learned",
    ),
    "per-step": ({"norm": "per-step"}, "PerStepNorm normalises steps apart"),
    "readout": ({"readout": "last"}, "does not answer with the mean of its outputs"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_other_networks_are_refused_with_the_reason(case):
    options, why = REFUSED[case]
    with pytest.raises(ConfigError, match="the method tandem cannot couple") as refused:
        find_chain(network(**options))
    assert why in str(refused.value.why) and refused.value.remedy


def test_leaks_scales_and_other_neurons_are_refused():
    with pytest.raises(ConfigError, match=r"leak 0\.9 and gain 1\.0 cannot be calibrated"):
        find_chain(network(neuron={"leak": 0.9}))
    scaled = create_model("mlp", in_shape=(1, 8, 8), classes=3, neuron="integrate", coding="direct")
    with pytest.raises(ConfigError) as refused:
        find_chain(scaled)
    assert refused.value.remedy == "set model.output_scale=false"
    leaky = create_model("mlp", in_shape=(1, 8, 8), classes=3, coding="direct")
    with pytest.raises(ConfigError) as refused:
        find_chain(leaky)
    assert refused.value.remedy == "set model.neuron=integrate"
