"""Remedies name what the origin of a network lets a user change."""

import pytest
import snntorch as snn
import torch
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters import export_nir, random_samples, source_of
from asnn.exporters.snntorch.module import source_of_module
from asnn.models import create_model


def module(reset):
    torch.manual_seed(0)
    neuron = snn.Leaky(beta=0.5, threshold=0.3, reset_mechanism=reset, init_hidden=True)
    return source_of_module(nn.Sequential(nn.Linear(6, 3), neuron).eval(), in_shape=(6,), steps=3)


def remedy(source, form, folder):
    with pytest.raises(ConfigError) as refused:
        export_nir(source, folder, samples=None, form=form)
    return refused.value.remedy


def test_modules_have_no_keys_of_recipes(tmp_path):
    """What the remedy says is written."""
    soft, hard = module("subtract"), module("zero")
    found = remedy(soft, "lif", tmp_path)
    assert found.startswith("use --form portable; or build the neurons of a layer with one leak")
    assert "reset_mechanism='zero' of snnTorch's Leaky" in found and "neuron." not in found
    samples = random_samples((6,), 4)
    assert export_nir(hard, tmp_path / "a.nir", samples=samples, form="lif").report.verified
    found = remedy(hard, "portable", tmp_path)
    assert found.startswith("use --form lif, or build its neurons with a reset by subtraction")
    assert export_nir(soft, tmp_path / "b.nir", samples=samples).report.verified


def test_networks_of_recipes_have(tmp_path):
    model = create_model("mlp", in_shape=(1, 2, 2), classes=2, steps=3, features=[4])
    found = remedy(source_of(model), "lif", tmp_path)
    assert found.startswith("use --form portable; or train with neuron.schedule=shared")
