"""Weights beyond the size of a file are refused, with what fits."""

import numpy as np
import pytest

from asnn.core.errors import ConfigError
from asnn.exporters import file_size
from asnn.exporters.file_size import require_size
from asnn.exporters.graph import ir as g
from asnn.exporters.nir.export import export_nir
from asnn.exporters.onnx.export import export_onnx
from asnn.exporters.snntorch.module import source_of_module
from tests.support.snn_modules import leaky


def graph(features: int) -> g.Graph:
    """A readout of 10 x features weights, and 10 + 1 other values."""
    weight, zeros = np.ones((10, features), np.float32), np.zeros(10, np.float32)
    one = np.ones(1, np.float32)
    readout = g.Readout(name="r", inputs=(g.INPUT,), weight=weight, bias=zeros, scale=one)
    return g.Graph((readout,), (features,), 1)


@pytest.mark.parametrize(("kind", "bytes_"), [("fp32", 4), ("fp16", 2), ("int8", 1)])
def test_the_limit(kind, bytes_, monkeypatch) -> None:
    monkeypatch.setattr(file_size, "MAX_SIZE", 1_000_011 * bytes_)
    require_size(graph(100_000), "onnx", kind)
    monkeypatch.setattr(file_size, "MAX_SIZE", 1_000_011 * bytes_ - 1)
    with pytest.raises(ConfigError):
        require_size(graph(100_000), "onnx", kind)


def test_what_fits_is_named(monkeypatch) -> None:
    monkeypatch.setattr(file_size, "MAX_SIZE", 2_500_000)
    with pytest.raises(ConfigError) as found:
        require_size(graph(100_000), "onnx")
    assert str(found.value.what) == "the weights of the network take 4.0 MB"
    assert found.value.why == "a file of ONNX holds at most 2.5 MB"
    assert found.value.remedy == "--weights fp16 (2.0 MB) or --weights int8 (1.0 MB)"
    with pytest.raises(ConfigError) as found:
        require_size(graph(100_000), "nir")
    assert found.value.remedy.startswith("use --format onnx --weights fp16")
    with pytest.raises(ConfigError) as found:
        require_size(graph(1_000_000), "nir")
    assert found.value.remedy == "export the network in parts, each a module of its own"


def test_nothing_is_written(tmp_path, monkeypatch) -> None:
    import torch

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(30, 20), leaky()).eval()
    source = source_of_module(network, in_shape=(30,), steps=2)
    monkeypatch.setattr(file_size, "MAX_SIZE", 2000)
    for export, name in ((export_onnx, "m.onnx"), (export_nir, "m.nir")):
        with pytest.raises(ConfigError, match="the weights of the network take"):
            export(source, tmp_path / name, samples=None)
    assert not [*tmp_path.iterdir()]
    export_onnx(source, tmp_path / "m.onnx", samples=None, weights="int8")
