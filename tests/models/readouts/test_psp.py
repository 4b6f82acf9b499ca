"""Post-synaptic potentials: their response in closed form, the published recursion, readouts."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.exporters import export_nir, export_onnx, source_of
from asnn.exporters.onnx.runtime import OnnxSession
from asnn.measure.cost.operations import Operations
from asnn.models import create_model
from asnn.models.readouts import create_readout
from asnn.models.readouts.psp import PostSynapticPotential
from tests.support.exported_networks import SHAPE, samples


def potential(tau=2.0, tau_rise=0.5, channels=1):
    return PostSynapticPotential(channels, steps=9, tau=tau, tau_rise=tau_rise)


def impulse(steps):
    x = torch.zeros(steps, 1, 1)
    x[0] = 1
    return x


@settings(deadline=None, max_examples=50)
@given(st.floats(0.3, 8.0), st.floats(0.05, 0.95))
def test_the_impulse_response_has_a_closed_form_with_the_peak_1(tau, part):
    p, q = math.exp(-1 / tau), math.exp(-1 / (part * tau))
    expected = np.array([p ** (n + 1) - q ** (n + 1) for n in range(64)])
    found = potential(tau, part * tau)(impulse(64))[:, 0, 0].numpy()
    np.testing.assert_allclose(found, expected / expected.max(), rtol=1e-3, atol=2e-5)
    assert found.max() == pytest.approx(1, abs=1e-5)


def test_of_the_published_time_constants():
    found = potential()(impulse(9))[:, 0, 0].double()
    n = torch.arange(1, 10).double()
    v0 = 1 / (math.exp(-1 / 2) - math.exp(-2))  # the response is greatest at the spike itself
    torch.testing.assert_close(
        found, v0 * ((-n / 2).exp() - (-n / 0.5).exp()), rtol=1e-5, atol=1e-6
    )
    # Negative control: without v_0 the peak is below a half.
    filtered = potential()
    filtered._gain.copy_(torch.tensor([math.exp(-1 / 2) - math.exp(-2)]))
    assert filtered(impulse(9)).max() < 0.5


def test_it_is_the_published_recursion_of_counts():
    """p1_t = e^(-1/τ) (p1_{t-1} + k_t), p2 likewise, U_t = W v_0 (p1_t - p2_t), without a bias."""
    torch.manual_seed(0)
    readout = create_readout(
        "first-crossing", 4, 3, steps=9, scaled=False, quantity="potential", level=3.0,
        psp=[2.0, 0.5],
    )  # fmt: skip
    assert list(readout.state_dict()) == ["linear.weight"]
    k = torch.randint(0, 6, (9, 5, 4)).double()
    p1, p2, v0 = 0.0, 0.0, 1 / (math.exp(-1 / 2) - math.exp(-2))
    expected = []
    for k_t in k:
        p1, p2 = math.exp(-1 / 2) * (p1 + k_t), math.exp(-1 / 0.5) * (p2 + k_t)
        expected.append(v0 * (p1 - p2) @ readout.linear.weight.double().T)
    found = readout(k.float()).double()
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-5, atol=1e-5)
    # Its affine layer alone, whatever the potentials are.
    torch.testing.assert_close(
        readout.mean(k.float()), k.float().mean(0) @ readout.linear.weight.T, rtol=1e-5, atol=1e-5
    )


def test_the_affine_layer_alone_with_scales():
    readout = create_readout(
        "first-crossing", 4, 3, steps=3, scaled=True, quantity="potential", psp=[2.0, 0.5]
    )
    with torch.no_grad():
        readout.scale.copy_(torch.tensor([1.0, 2.0, 3.0]))
    k = torch.rand(3, 5, 4)
    expected = (readout.scale.view(3, 1, 1) * (k @ readout.linear.weight.T)).mean(0)
    torch.testing.assert_close(readout.mean(k), expected)


@pytest.mark.parametrize(
    ("options", "message", "remedy"),
    [
        ({"psp": [2.0]}, "psp has 1 values", "readout.psp=[2.0,0.5]"),
        ({"psp": [0.5, 2.0]}, "time constants of the potential are 0.5 and 2.0", "readout.psp"),
        ({"psp": [2.0, 0.0]}, "time constants of the potential are 2.0 and 0.0", "readout.psp"),
        ({"psp": [2.0, 0.5], "leak": 0.9}, "has no leak and no start", "leave out readout.leak"),
        ({"psp": [2.0, 0.5], "learn_start": True}, "has no leak and no start", "learn_start"),
    ],
)
def test_refusals(options, message, remedy):
    with pytest.raises(ConfigError, match="potential|psp") as caught:
        create_readout("first-crossing", 4, 3, steps=4, scaled=False, **options)
    assert message in str(caught.value) and remedy in caught.value.remedy


def bursting(level=0.5, **options):
    torch.manual_seed(1)
    model = create_model(
        "mlp", in_shape=SHAPE, classes=4, steps=6, features=[12, 9], coding="direct",
        output_scale=False, neuron="integrate", readout="first-crossing",
        neuron_options={"most": 5, "amplitude": 0.1, "gradient": "straight-through"},
        readout_options={"quantity": "potential", "level": level, "psp": [2.0, 0.5]}, **options,
    ).eval()  # fmt: skip
    with torch.no_grad():
        model.readout.linear.weight.mul_(3)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sequence", "scan"])
def test_decisions_in_onnx_and_spikes_are_whole_numbers(tmp_path, form):
    model = bursting()
    source, images = source_of(model), samples().images
    done = export_onnx(source, tmp_path / "a.onnx", samples=samples(), form=form)
    assert done.report.verified
    neurons = [node for node in source.graph.nodes if type(node).__name__ == "Neuron"]
    assert [node.most for node in neurons] == [5, 5]
    kinds = [type(node).__name__ for node in source.graph.nodes]
    assert kinds[-2:] == ["Filter", "Readout"] and "ChannelScale" not in kinds
    inputs = {"image": images} | ({"count": np.array([6])} if form == "scan" else {})
    found = OnnxSession(tmp_path / "a.onnx", "CPUExecutionProvider").run(inputs)
    with torch.no_grad():
        expected = model.readout.decide(model(torch.from_numpy(images)))
    near = source.graph.answer.near(found["logits_per_step"])
    assert near.mean() < 0.2
    for name, value in (("decision_step", expected.step), ("decided", expected.decided)):
        np.testing.assert_array_equal(found[name][~near], value.numpy()[~near])
    assert len(set(found["decision_step"].tolist())) > 1


@pytest.mark.slow
def test_nir_holds_bursts_and_potentials_unrolled(tmp_path):
    done = export_nir(source_of(bursting()), tmp_path / "a.nir", samples=samples())
    assert done.report.verified


@torch.no_grad()
def test_a_burst_of_k_is_k_accumulates_and_the_filter_makes_values():
    model, x = bursting(), samples().images
    sent = []
    neuron = model.body.spikes1.neuron
    neuron.register_forward_hook(lambda _, inputs, out: sent.append(out / neuron.amplitude))
    with Operations(model) as operations:
        model(torch.from_numpy(x))
    layers = {layer.name: layer for layer in operations.counts().layers}
    assert layers["linear2"].operation == "ac" and layers["linear2"].given == "counts"
    assert sent[0].max() > 1.5
    # Each of k spikes is an accumulate for each of the 9 neurons that read it.
    expected = 9 * float(sent[0].round().sum())
    assert float(layers["linear2"].effective.sum()) == pytest.approx(expected)
    for name in ("readout.psp", "readout"):
        assert layers[name].operation == "mac"
    assert float(layers["readout.psp"].dense.sum()) == 2 * 9 * 6 * len(x)
