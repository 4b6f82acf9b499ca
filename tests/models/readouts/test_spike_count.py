"""The readout of spike counts, and its loss."""

import pytest
import torch

from asnn.core import ConfigError
from asnn.datasets.transforms.mixing import Targets
from asnn.models import create_model
from asnn.models.readouts import create_readout
from asnn.tasks.classification import Classification
from asnn.tasks.losses import Loss

INF = float("inf")
TIMES = torch.tensor(
    [[[[0.1, 0.2, INF], [0.3, INF, INF]], [[INF, INF, INF], [INF, INF, INF]]]],
    dtype=torch.float64,
)  # [1, B, K, S]


def readout():
    return create_readout("spike-count", 2, 2, steps=1, scaled=False)


def test_outputs_are_numbers_of_spikes():
    outputs = readout()(TIMES)
    assert outputs.tolist() == [[[2.0, 1.0], [0.0, 0.0]]]
    decision = readout().decide(outputs)
    assert decision.scores.argmax(1).tolist() == [0, 0]
    assert decision.decided.tolist() == [True, False]


def test_the_loss_pushes_each_spike():
    """∂L/∂t_m := (target - n) / B for each spike of an output of n spikes."""
    times = TIMES.clone().requires_grad_()
    layer = readout()
    targets = Targets(torch.tensor([1, 0]), torch.tensor([1, 0]), 1.0)
    loss = Loss("count", counts=(5.0, 1.0))(layer(times), targets, layer.answer)
    wanted = 0.5 * ((1 - 2) ** 2 + (5 - 1) ** 2 + (5 - 0) ** 2 + (1 - 0) ** 2) / 2
    assert loss.item() == pytest.approx(wanted)
    loss.backward()
    assert times.grad is not None
    push = torch.tensor([[[[-0.5, -0.5, 0], [2.0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]])
    assert torch.equal(times.grad, push.double())


def test_label_smoothing_and_class_weights():
    n = torch.tensor([[[2.0, 1.0]]])
    targets = Targets(torch.tensor([0]), torch.tensor([0]), 1.0)
    weights = torch.tensor([3.0, 1.0])
    loss = Loss("count", 0.2, class_weights=weights)(n, targets)
    right, wrong = 3 + 12 * (0.8 + 0.1), 3 + 12 * 0.1
    assert loss.item() == pytest.approx(3 * 0.5 * ((right - 2) ** 2 + (wrong - 1) ** 2))


def test_the_loss_needs_counts():
    task = Classification.of(2)
    task.use_loss(Loss("count"))
    with pytest.raises(ConfigError, match="the loss count needs a readout that counts spikes"):
        task.use_readout(create_readout("mean", 2, 2, steps=1, scaled=False))
    task.use_readout(readout())


def test_counts_belong_to_their_loss():
    with pytest.raises(ConfigError, match="the loss is 'mean'"):
        Loss("mean", counts=(15.0, 3.0))


def test_it_has_no_weights_of_its_own():
    with pytest.raises(ConfigError, match="has 2 outputs, the layer before it 3"):
        create_readout("spike-count", 3, 2, steps=1, scaled=False)


def test_a_network_of_time_steps_cannot_have_it():
    with pytest.raises(ConfigError, match=r"exact times|2 outputs"):
        create_model("mlp", in_shape=(1, 2, 2), classes=2, features=[2], readout="spike-count")


def test_a_network_answers_by_counts():
    model = create_model(
        "timing-mlp",
        in_shape=(1, 4, 4),
        classes=3,
        features=[8],
        coding="times",
        steps=1,
        neuron="multi-spike",
        neuron_options={"window": 3.0, "threshold": 0.02},
        readout="spike-count",
        weight_mean=[8.0],
    )
    images = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    outputs = model(images)
    assert outputs.shape == (1, 5, 3)
    assert outputs.max() > 1
    assert torch.equal(outputs, outputs.round())
    assert torch.equal(model.eval().predict(images), outputs[0])
