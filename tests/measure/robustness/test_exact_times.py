"""Corruptions of time steps are not for networks of exact times."""

import pytest
import torch

from asnn.core import ConfigError
from asnn.measure.robustness.corruptions import check_corruption, corrupt, fitting
from asnn.models import create_model

OF_IMAGES = ["gaussian-noise", "salt-and-pepper", "blur", "contrast"]


@pytest.fixture(scope="module")
def model():
    return create_model(
        "timing-mlp", in_shape=(1, 4, 4), classes=3, features=[5], coding="times", steps=1,
        neuron="rel-psp", readout="earliest",
    ).eval()  # fmt: skip


def test_images_and_weights_are_corrupted(model):
    assert fitting(model) == [*OF_IMAGES, "quantize"]
    x = torch.rand(6, 1, 4, 4)
    for name, severity in (("gaussian-noise", 0.3), ("quantize", 3)):
        with torch.no_grad():
            assert not torch.equal(corrupt(model, name, severity)(x), model(x))


@pytest.mark.parametrize("name", ["spike-drop", "spike-jitter", "dead-neurons"])
def test_steps_of_spikes_are_not(model, name):
    with pytest.raises(
        ConfigError, match="the network has exact times, and no time steps"
    ) as error:
        check_corruption(model, name, 0.5)
    assert "quantize" in error.value.why
