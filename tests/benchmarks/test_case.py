"""Cases: what they refuse, and that their layers are those of asnn's models."""

import pytest
import torch

from asnn.benchmarks.case import Case
from asnn.core.errors import ConfigError
from asnn.models import create_model


@pytest.mark.parametrize("model", ["lenet", "mlp"])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 5, 3), (2, 1, 1)])
def test_the_layers_are_those_of_the_model(model, shape):
    case = Case(model=model, in_shape=shape, classes=7, coding="rate", steps=2)
    network = create_model(model, in_shape=shape, classes=7, coding="rate", steps=2)
    affines = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert [m.weight.shape[:2] for m in affines] == [
        *((layer.outputs, layer.inputs) for layer in case.layers),
        (7, case.layers[-1].outputs),
    ]
    windows = [m.kernel_size for m in network.modules() if isinstance(m, torch.nn.MaxPool2d)]
    assert windows == [layer.window for layer in case.layers if layer.kind == "conv"]


def test_images_and_labels_are_those_of_the_seed():
    case = Case(in_shape=(1, 4, 4), classes=3, batch=50)
    assert torch.equal(case.images(1), case.images(1))
    assert not torch.equal(case.images(1), case.images(2))
    assert case.images().shape == (50, 1, 4, 4) and set(case.labels().tolist()) == {0, 1, 2}


def test_stems():
    assert Case(coding="hybrid", steps=3).stems == 2
    assert Case(coding="direct").stems == Case(coding="rate").stems == 1


def test_json_and_back():
    case = Case("mlp", (1, 2, 3), 4, "hybrid", 5, 6)
    assert Case.from_dict(case.as_dict()) == case
    assert str(case) == "mlp 1×2×3, hybrid, T = 5, batch 6"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model": "lenett"}, "unknown model to measure 'lenett'"),
        ({"coding": "hybird"}, "unknown coding 'hybird'"),
        ({"coding": "hybrid", "steps": 1}, "needs 2 steps or more"),
        ({"steps": 0}, "needs 1 steps or more"),
        ({"batch": 0}, "batch 0"),
        ({"in_shape": (3, 8)}, "shape (3, 8)"),
        ({"in_shape": (3, 0, 8)}, "shape (3, 0, 8)"),
        ({"classes": 1}, "1 classes"),
    ],
)
def test_refusals(fields, says):
    with pytest.raises(ConfigError) as refused:
        Case(**fields)
    assert says in str(refused.value)
