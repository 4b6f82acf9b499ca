"""An evaluation does not change the network or the random state, and can be repeated."""

import pytest
import torch

from asnn.core import AsnnError, DataError
from asnn.datasets.base import Split
from asnn.measure import evaluate
from asnn.models import create_model


def samples(side=4):
    seeded = torch.Generator().manual_seed(0)
    return Split(torch.rand(40, 1, side, side, generator=seeded), torch.arange(40) % 3)


def network(**options):
    torch.manual_seed(0)
    return create_model(
        "mlp",
        in_shape=(1, 4, 4),
        classes=3,
        features=[8],
        steps=3,
        neuron_options={"gain": 2.0},
        **options,
    )


def test_seeded_rate_code_gives_the_same_result_each_time():
    model = network(coding="rate", coding_options={"seed": 0})
    losses = [evaluate(model, samples(), classes=3, full_scale=255.0).loss for _ in range(2)]
    assert losses[0] == losses[1]


def test_mode_is_restored_after_a_failure():
    model = network().train()
    with pytest.raises(DataError):
        evaluate(model, samples(5), classes=3, full_scale=255.0)
    assert model.training


def test_norm_in_evaluation_mode_stays_in_it():
    model = network().train()
    model.body.spikes1.norm.eval()
    evaluate(model, samples(), classes=3, full_scale=255.0)
    assert not model.body.spikes1.norm.training


def test_too_many_steps_are_refused():
    with pytest.raises(AsnnError):
        evaluate(network(), samples(), classes=3, full_scale=255.0, steps=5)
    with pytest.raises(AsnnError):
        network()(torch.rand(2, 1, 4, 4), 5)
    with pytest.raises(AsnnError):
        network()(torch.rand(2, 1, 4, 4), -1)
