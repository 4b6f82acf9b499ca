"""Options and file headers that no network has are refused."""

import json

import pytest
from safetensors.torch import save_file

from asnn.coding import create_coding
from asnn.core import ConfigError, DataError
from asnn.models import create_model
from asnn.models.saved import load_model


def test_unknown_options_are_config_errors():
    with pytest.raises(ConfigError):
        create_coding("temporal", steps=3, treshold="linear")
    with pytest.raises(ConfigError):
        create_coding("direct", steps=3, thresholds="linear")
    with pytest.raises(ConfigError):
        create_model("lenet", in_shape=(1, 8, 8), classes=3, width=[1])
    with pytest.raises(ConfigError):
        create_model("lenet", in_shape=(8, 8), classes=3)
    with pytest.raises(ConfigError):
        create_model("lenet", in_shape=(3, 8, 8), classes=3, mean=[0.1])


@pytest.mark.parametrize(
    "header",
    [
        lambda c: [],
        lambda c: None,
        lambda c: {"format": "2", "model": c},
        lambda c: {"format": None, "model": c},
        lambda c: {"model": "abc"},
        lambda c: {"model": {**c, "in_shape": [1, 2]}},
    ],
)
def test_forged_headers(header, tmp_path):
    model = create_model("mlp", in_shape=(1, 2, 2), classes=2, features=[3], steps=2)
    path = tmp_path / "model.safetensors"
    save_file(model.state_dict(), path, metadata={"asnn": json.dumps(header(model.config))})
    with pytest.raises(DataError):
        load_model(path)
