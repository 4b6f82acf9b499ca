"""Updates of neurons that fire once, by a loop over every neuron that stops at its spike; draws."""

import pytest
import torch

from asnn.measure import Operations
from asnn.measure.cost.energy import energy_of_samples, energy_report, total_cost
from asnn.measure.cost.tables import CostTable
from asnn.models import create_model
from asnn.models.layers.spiking import layer_outputs
from tests.support.sparse_layers import images, lively

TABLE = CostTable(
    name="t", source="test",
    picojoules={"mac": 5, "ac": 3, "neuron_update": 2, "memory_byte": 0.1, "draw": 7},
    bytes={"weight": 2, "value": 3, "event": 1},
)  # fmt: skip


def counted(name, **options):
    torch.manual_seed(0)
    model = create_model(
        name, in_shape=(1, 4, 4), classes=3, steps=4, features=[9, 7],
        neuron_options={"gain": 1.0, **options},
    )  # fmt: skip
    model = lively(model).eval().frozen()
    with torch.no_grad(), Operations(model) as operations, layer_outputs(model) as outputs:
        model(images(5, 1, 4, 4))
        model(images(3, 1, 4, 4))
    return operations.counts(), outputs, model


def updates_by_loop(spikes):
    """One a step for each neuron of each sample, up to and including that of its spike."""
    found = [0] * len(spikes)
    for train in spikes.flatten(1).T.tolist():
        for t, spike in enumerate(train):
            found[t] += 1
            if spike:
                break
    return found


@pytest.mark.parametrize("name", ["mlp", "rsnn"])
def test_updates_stop_after_the_spike(name):
    found, _, model = counted(name, once=True)
    expected = {}
    with torch.no_grad(), layer_outputs(model) as outputs:
        for number in (5, 3):
            model(images(number, 1, 4, 4))
            for key, spikes in outputs.items():
                expected.setdefault(key, []).append(updates_by_loop(spikes))
    for layer in found.neurons:
        assert layer.updates.tolist() == [
            sum(step) for step in zip(*expected[layer.name], strict=True)
        ]
        assert layer.updates[0] == 8 * layer.neurons > layer.updates[-1]
        assert layer.active.sum() <= 8 * layer.neurons


def test_negative_control_other_neurons_are_updated_at_every_step():
    found, _, _ = counted("mlp", once=False)
    for layer in found.neurons:
        assert layer.updates.tolist() == [8 * layer.neurons] * 4


@pytest.mark.parametrize("name", ["mlp", "rsnn"])
def test_a_draw_a_neuron_and_step_has_its_price(name):
    found, _, _ = counted(name, noise="logistic")
    assert [layer.draws.tolist() for layer in found.neurons] == [[8 * 9.0] * 4, [8 * 7.0] * 4]
    free = TABLE.picojoules.model_copy(update={"draw": 0})
    without = TABLE.model_copy(update={"picojoules": free})
    price = total_cost(found, TABLE).total(TABLE) - total_cost(found, without).total(without)
    assert price == pytest.approx(7 * 8 * 4 * (9 + 7))
    report = energy_report(found, TABLE)
    assert (report["draws"], report["neuron_updates"]) == (4 * 16, 4 * 16)
    assert energy_report(counted(name)[0], TABLE)["draws"] == 0


@pytest.mark.parametrize("options", [{"once": True}, {"noise": "logistic"}], ids=str)
def test_the_energy_of_samples_adds_up(options):
    found, _, _ = counted("mlp", **options)
    assert float(energy_of_samples(found, TABLE).sum()) == pytest.approx(
        total_cost(found, TABLE).total(TABLE)
    )


def with_readout(quantity):
    torch.manual_seed(0)
    model = create_model(
        "mlp", in_shape=(1, 4, 4), classes=3, steps=4, features=[9], neuron_options={"gain": 1.0},
        readout="first-crossing", readout_options={"quantity": quantity, "level": 0.5},
    ).eval()  # fmt: skip
    with torch.no_grad(), Operations(model.frozen()) as operations:
        model.frozen()(images(5, 1, 4, 4))
        model.frozen()(images(3, 1, 4, 4))
    return operations.counts()


def test_a_readout_draws_a_number_for_each_class_and_step():
    found, without = with_readout("drawn"), with_readout("potential")
    assert found.draws.tolist() == [8 * 3] * 4 and not without.draws.any()
    assert energy_report(found, TABLE)["draws"] == 4 * 3
    price = total_cost(found, TABLE).total(TABLE) - total_cost(without, TABLE).total(TABLE)
    assert price == pytest.approx(7 * 8 * 4 * 3)
    # So the energy up to a decision has those of the steps up to it.
    more = energy_of_samples(found, TABLE) - energy_of_samples(without, TABLE)
    assert more.allclose(torch.full((4, 8), 7 * 3.0, dtype=torch.float64))
