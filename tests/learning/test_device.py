"""Devices, precision and seeds."""

import pytest
import torch

from asnn.core import ConfigError
from asnn.learning.device import (
    derived_seed,
    find_device,
    mixed_precision,
    require_float64,
    versions_and_machine,
)
from asnn.learning.recipe.checking import check_recipe
from asnn.models import create_model

EXACT = {
    "coding": {"name": "times", "steps": 1},
    "model": {"name": "timing-mlp", "neuron": "rel-psp"},
    "readout": {"name": "earliest"},
    "method": {"name": "exact"},
}


def test_auto_is_a_device_that_computes():
    assert float(torch.ones(2, device=find_device("auto")).sum()) == 2


def test_unknown_devices():
    for name, says in (("gpu", "unknown device"), ("xpu", "is not supported"),
                       ("cuda:64", "is not on this machine")):  # fmt: skip
        with pytest.raises(ConfigError, match=says):
            find_device(name)


@pytest.mark.slow
def test_mps_has_no_exact_times(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(ConfigError, match="train.device: device 'mps' cannot compute") as error:
        check_recipe({**EXACT, "train": {"device": "mps"}})
    assert "exact spike times are float64, which MPS does not have" in str(error.value)
    for recipe, device in ((EXACT, "cpu"), ({}, "mps")):  # negative control
        assert check_recipe({**recipe, "train": {"device": device}}).train.device == device


def test_a_network_of_exact_times_is_not_moved_to_mps():
    options = {"coding": "times", "steps": 1, "neuron": "rel-psp", "readout": "earliest"}
    exact = create_model("timing-mlp", in_shape=(1, 2, 2), classes=2, features=[3], **options)
    with pytest.raises(ConfigError, match="device 'mps' cannot compute this network"):
        require_float64(torch.device("mps"), exact)
    require_float64(torch.device("cpu"), exact)
    require_float64(torch.device("mps"), create_model("mlp", in_shape=(1, 2, 2), classes=2))


def test_mixed_precision_computes_in_its_dtype():
    cpu = torch.device("cpu")
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with mixed_precision(cpu, precision):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    with pytest.raises(ConfigError, match="float16 does not train on a CPU"):
        mixed_precision(cpu, "float16")


def test_derived_seeds_differ_by_each_part_and_are_pinned():
    seeds = {derived_seed(*parts) for parts in ((0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 1))}
    assert len(seeds) == 6
    # A run promises the same random numbers for the same seed.
    assert derived_seed(0) == 3717377837946358015
    assert derived_seed(0, 1, 2) == 1419556851746930036
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_versions_and_machine():
    found = versions_and_machine(torch.device("cpu"))
    # `+cu126` and the like are not in the metadata of all builds.
    assert found["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["device"] == "cpu" and found["threads"] >= 1
