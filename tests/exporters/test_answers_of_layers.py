"""Layers of other packages that change what is computed: exported rightly, or refused."""

import pytest
import torch
from torch import nn

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx, random_samples, source_of
from asnn.measure import Operations
from asnn.models.layers.recurrent import Recurrent
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.layers.time import OverTime, over_time
from asnn.models.network import SpikingNetwork
from asnn.models.neurons.integrate import Integrate
from asnn.models.neurons.leaky import FixedLeaky
from asnn.models.readouts import Readout
from asnn.models.readouts.crossing import FirstCrossingReadout
from tests.support.exported_networks import network

SAMPLES = random_samples((2, 6, 6), 12)


def with_parts(*parts):
    model = network("mlp", steps=3, coding="direct", neuron="integrate")
    return SpikingNetwork(model.coding, nn.Sequential(next(iter(model.body)), *parts)).eval()


def bursts():
    return SpikingLayer(None, Integrate(3, amplitude=0.4, most=3))


def readout():
    return Readout(14, 4, steps=3, scaled=False)


def exported(model, tmp_path, **options):
    source = source_of(model, in_shape=(2, 6, 6))
    return export_onnx(source, tmp_path / "a.onnx", samples=SAMPLES, **options).report


class Late(FirstCrossingReadout):
    """Crosses at the third step at the earliest."""

    def crossed(self, outputs):
        return super().crossed(outputs) & (torch.arange(len(outputs)).unsqueeze(1) >= 2)


class Greatest(Readout):
    """Says in its file that it answers with the mean, and answers with the maximum."""

    answers_with_mean = False

    def decide(self, outputs):
        return super().decide(outputs)._replace(scores=outputs.max(0).values)

    def lower(self, graph, name):
        super().lower(graph, name)

    def so_far(self, outputs):
        return outputs.cummax(0).values


class Squared(Readout):
    def forward(self, spikes):
        return super().forward(spikes) ** 2


class Rate(Readout):
    """The outputs of the neurons as they are."""

    def __init__(self):
        super().__init__(14, 14, steps=3, scaled=False)

    def forward(self, spikes):
        return spikes

    def lower(self, graph, name):
        graph.answers_with("mean")


class Twice(OverTime):
    def forward(self, x):
        return 2 * over_time(self.layer, x) + 1


def test_a_readout_that_crosses_otherwise_is_refused():
    model = with_parts(bursts(), Late(14, 4, steps=3, scaled=False, level=0.3))
    with pytest.raises(ConfigError, match="the readout Late cannot be exported"):
        source_of(model, in_shape=(2, 6, 6))


def test_the_answer_of_the_network_is_that_of_its_readout(tmp_path):
    with pytest.raises(VerificationError, match="does not compute"):
        exported(with_parts(bursts(), Greatest(14, 4, steps=3, scaled=False)), tmp_path)


def test_a_readout_with_another_forward_is_not_replaced_by_the_mean_before_it():
    model = with_parts(bursts(), Squared(14, 4, steps=3, scaled=False))
    x = torch.from_numpy(SAMPLES.images)
    with torch.no_grad():
        torch.testing.assert_close(model.predict(x), model(x).mean(0))
    assert not Squared.answers_with_mean and Readout.answers_with_mean


@pytest.mark.parametrize("shared", [False, True])
def test_norms_are_folded_into_layers_alone_that_compute_what_they_say(shared):
    torch.manual_seed(0)
    source = network("mlp", steps=3, coding="direct", features=[14, 14])
    linear = OverTime(nn.Linear(14, 14)) if shared else Twice(nn.Linear(14, 14))
    layers = [list(source.body)[1], linear, list(source.body)[3]]
    layers += [linear, SpikingLayer(list(source.body)[1].norm, FixedLeaky(3))] if shared else []
    model = with_parts(*layers, readout())
    x = torch.from_numpy(SAMPLES.images)
    with torch.no_grad():
        torch.testing.assert_close(model.frozen()(x), model(x), rtol=1e-4, atol=1e-4)


def test_a_layer_that_is_used_twice_is_exported_twice(tmp_path):
    linear = OverTime(nn.Linear(14, 14))
    model = with_parts(bursts(), linear, bursts(), linear, bursts(), readout())
    report = exported(model, tmp_path)
    assert report.verified
    assert len(source_of(model, in_shape=(2, 6, 6)).graph.neurons) == 3


def test_an_amplitude_at_the_end_is_kept(tmp_path):
    model = with_parts(bursts(), Rate())
    names = [node.name for node in source_of(model, in_shape=(2, 6, 6)).graph.nodes]
    assert names[-1].endswith("_amplitude")
    assert exported(model, tmp_path).verified


def test_an_amplitude_before_recurrent_weights_scales_the_input_alone(tmp_path):
    recurrent = SpikingLayer(None, Recurrent(FixedLeaky(3, 14, gain=1.0), 14))
    assert exported(with_parts(bursts(), recurrent, readout()), tmp_path).verified


@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
def test_a_readout_of_a_time_invariant_value(tmp_path, form):
    assert exported(with_parts(readout()), tmp_path, form=form).verified


def test_bursts_of_one_step_have_no_lif_node(tmp_path):
    model = network("mlp", steps=1, coding="direct", neuron="integrate", neuron_options={"most": 3})
    with pytest.raises(ConfigError, match="cannot express layer"):
        export_nir(source_of(model), tmp_path / "a.nir", samples=SAMPLES, form="lif")


def test_a_learned_threshold_below_zero_is_refused():
    model = network(
        "mlp", steps=3, neuron="snntorch.Leaky", neuron_options={"learn_threshold": True}
    )
    with torch.no_grad():
        model.body.spikes1.neuron.neuron.threshold.fill_(-0.5)
    with pytest.raises(ConfigError, match="not above 0"):
        source_of(model)


class Functional(nn.Module):
    """Uses the weights of a layer without calling it."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(14, 14)

    def forward(self, x):
        return nn.functional.linear(x, self.linear.weight, self.linear.bias)


class Doubled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize("part", [Functional, lambda: Doubled(OverTime(nn.Linear(14, 14)))])
def test_what_is_not_called_or_computes_something_else_is_not_taken_for_known(part, tmp_path):
    model = with_parts(bursts(), part(), readout())
    with torch.no_grad(), Operations(model) as operations:
        model(torch.from_numpy(SAMPLES.images))
    found = operations.counts()
    if isinstance(model.body[2], Functional):
        assert found.uncounted == ["2.linear"]
    else:  # its layers get values, whatever stands before it
        assert {layer.name: layer.given for layer in found.layers}["2.0"] == "values"
    with pytest.raises(ConfigError, match="cannot be exported"):
        source_of(model, in_shape=(2, 6, 6))


def test_amplitudes_may_be_numbers():
    class Halves(nn.Module):
        amplitude = 0.5

        def forward(self, x):
            return 0.5 * (x > 0).to(x)

    layer, counts = SpikingLayer(None, Halves()), []
    layer.spike_observers.append(lambda number, neurons: counts.append(number.tolist()))
    layer(torch.ones(2, 1, 3))
    assert counts == [[3.0, 3.0]]


@pytest.mark.parametrize("name", ["logits", "code", "t", "none"])
def test_a_layer_with_the_name_of_a_value_is_refused(tmp_path, name):
    model = with_parts(bursts(), readout())
    first, neurons, last = model.body
    model.body = nn.Sequential()
    for key, part in (("stem", first), (name, neurons), ("readout", last)):
        model.body.add_module(key, part)
    with pytest.raises(ConfigError, match=f"a layer is called '{name}'"):
        exported(model, tmp_path)
