"""Neurons that would fire more often than they may, and the operations of exact times."""

import torch

from asnn.datasets.base import Split
from asnn.measure import Operations, evaluate
from asnn.models import create_model
from asnn.models.timing.layer import timing_layers


def network(most):
    torch.manual_seed(0)
    return create_model(
        "timing-mlp",
        in_shape=(1, 4, 4),
        classes=3,
        features=[8],
        coding="times",
        steps=1,
        neuron="multi-spike",
        neuron_options={"window": 2.0, "threshold": 0.02, "most": most},
        readout="earliest",
        weight_mean=[8.0],
    ).eval()


def test_overflows_are_those_of_neurons_without_a_bound():
    split = Split(torch.rand(6, 1, 4, 4), torch.zeros(6, dtype=torch.long))
    few, many = network(2), network(200)
    with torch.no_grad():
        code = many.coding.encode(split.inputs)
        counts = timing_layers(many)["timing1"](code)[0].isfinite().sum(-1)
    found = evaluate(few, split, full_scale=1.0, classes=3).overflows
    assert found["timing1"] == (counts > 2).double().mean().item() > 0
    assert evaluate(many, split, full_scale=1.0, classes=3).overflows["timing1"] == 0


@torch.no_grad()
def test_operations_are_counted_by_event_and_living_neuron():
    """Two additions and two products for each input and each neuron without its last spike."""
    model, images = network(1), torch.rand(5, 1, 4, 4)
    x = model.coding.encode(images)
    out = timing_layers(model)["timing1"](x)[0, ..., 0]
    wanted = sum(
        2 * int((out[b] >= t).sum()) for b in range(5) for t in x[0, b].flatten().tolist() if t < 2
    )
    with Operations(model) as operations:
        model(images)
    layers = {each.name: each for each in operations.counts().layers}
    assert layers["timing1"].operation == "ac"
    assert layers["timing1.membrane"].operation == "mac"
    assert layers["timing1"].effective.sum() == layers["timing1.membrane"].effective.sum() == wanted
