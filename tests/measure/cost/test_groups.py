"""Operations of p4 networks: those of the plain convolutions that a file of them holds."""

import torch
from torch.nn.functional import conv2d

from asnn.measure import Operations
from asnn.models import create_model
from asnn.models.layers.spiking import layer_outputs

CLASSES = 3


def model_and_input():
    torch.manual_seed(0)
    model = create_model(
        "lenet", in_shape=(1, 8, 8), classes=CLASSES, steps=3, widths=[4, 5], hidden=6,
        neuron_options={"gain": 1.5}, group="p4",
    )  # fmt: skip
    for _ in range(3):
        model(torch.rand(8, 1, 8, 8))
    return model.eval(), torch.rand(2, 1, 8, 8)


@torch.no_grad()
def counted(network, x):
    with Operations(network) as operations, layer_outputs(network) as outputs:
        network(x)
    found = operations.counts()
    assert not found.uncounted
    return {layer.name: layer for layer in found.layers}, dict(outputs)


def test_every_spike_meets_the_weights_of_all_rotations():
    model, x = model_and_input()
    layers, outputs = counted(model.frozen(), x)
    spikes = outputs["spikes1"].flatten(0, 1)
    reached = conv2d(spikes, torch.ones(4 * 5, 4 * 4, 3, 3), padding=1)
    assert layers["conv2"].operation == "ac" and spikes.any()
    assert float(layers["conv2"].effective.sum()) == float(reached.sum())
    assert layers["conv2"].weights == 4 * 5 * 4 * 4 * 9
    sent = float(outputs["spikes3"].sum())
    assert sent > 0
    assert float(layers["linear"].effective.sum()) == float(outputs["spikes2"].sum()) * 4 * 6
    # The pool adds each spike to the mean of its feature, which the readout then reads as a count.
    assert layers["group_pool"].weights == 0 and layers["group_pool"].operation == "ac"
    assert float(layers["group_pool"].effective.sum()) == sent
    assert layers["readout"].given == "counts" and layers["readout"].operation == "ac"
    assert float(layers["readout"].effective.sum()) == sent * CLASSES


def test_layers_with_shared_weights_are_counted_as_the_plain_ones():
    model, x = model_and_input()
    of_model, _ = counted(model, x)
    of_frozen, _ = counted(model.frozen(), x)
    assert list(of_model) == list(of_frozen)
    for name, layer in of_model.items():
        other = of_frozen[name]
        for figure in ("effective", "dense", "events", "inputs"):
            assert torch.equal(getattr(layer, figure), getattr(other, figure)), (name, figure)
        assert layer.weights == other.weights
