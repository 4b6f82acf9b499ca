"""Cases: their layers are those of asnn's models; invalid cases."""

import pytest
import torch

from asnn.benchmarks.case import Case
from asnn.benchmarks.networks import NETWORKS
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


def test_arguments_build_the_network():
    case = Case("ms-resnet18-16", (2, 9, 9), 4, "rate", 2, 3)
    network = create_model(**case.arguments)
    expected = {"name": "ms-resnet", "depth": 18, "width": 16, "in_shape": [2, 9, 9], "classes": 4}
    assert expected.items() <= network.config.items()
    with pytest.raises(ValueError, match="ms-resnet18-16 is not sequential"):
        _ = case.layers


def test_results_are_compared_on_small_images_if_no_weight_depends_on_the_size():
    large = Case("spikformer", (3, 32, 4), 5, "rate", 2, 64)
    assert large.for_comparison(4) == Case("spikformer", (3, 8, 4), 5, "rate", 2, 4)
    # The linear layer of a lenet has weights for each pixel.
    assert Case(batch=64).for_comparison(4) == Case(batch=4)


@pytest.mark.parametrize(
    "model", [name for name, spec in NETWORKS.items() if spec.max_compared_size]
)
def test_no_weight_depends_on_the_size_of_images(model):
    shapes = [
        [p.shape for p in create_model(**Case(model, (1, side, side)).arguments).parameters()]
        for side in (8, 16)
    ]
    assert shapes[0] == shapes[1]


def test_images_and_labels_are_those_of_the_seed():
    case = Case(in_shape=(1, 4, 4), classes=3, batch=50)
    assert torch.equal(case.images(1), case.images(1))
    assert not torch.equal(case.images(1), case.images(2))
    assert case.images().shape == (50, 1, 4, 4) and set(case.labels().tolist()) == {0, 1, 2}


def test_stems():
    assert Case(coding="hybrid", steps=3).stems == 2
    assert Case(coding="direct").stems == Case(coding="rate").stems == 1


def test_json_round_trip():
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
