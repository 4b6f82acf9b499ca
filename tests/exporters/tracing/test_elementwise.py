"""Elementwise functions in a forward: the graph computes what torch does."""

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from snntorch import utils
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters import export_nir, export_onnx, random_samples
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Dynamics
from asnn.exporters.snntorch.module import source_of_module

FUNCTIONS = {
    "abs": torch.abs,
    "exp": torch.exp,
    "log": lambda x: torch.log(x + 2),
    "sqrt": lambda x: torch.sqrt(x + 2),
    "square": torch.square,
    "cube": lambda x: x**3,
    "sigmoid": torch.sigmoid,
    "clamp": lambda x: x.clamp(-0.2, 0.5),
    "clamp below": lambda x: torch.clamp(x, min=0.1),
    "clamp above": lambda x: torch.clamp_max(x, 0.3),
    "hardtanh": nn.Hardtanh(-0.5, 0.4),
    "relu6": lambda x: F.relu6(9 * x),
    "hardsigmoid": lambda x: F.hardsigmoid(4 * x),
    "hardswish": lambda x: F.hardswish(4 * x),
    "silu": F.silu,
    "leaky relu": nn.LeakyReLU(0.2),
    "elu": F.elu,
    "selu": F.selu,
    "maximum": lambda x: torch.maximum(x, 0.5 - x),
    "minimum": lambda x: torch.minimum(x * x, torch.tensor(0.3)),
}


class Net(nn.Module):
    """A function between a layer and a neuron, of features or of images."""

    def __init__(self, function, channels=4):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.function = nn.Conv2d(1, channels, 3), function
        self.lif = snn.Leaky(0.9, threshold=0.4, init_hidden=True)
        self.fc = nn.Linear(channels * 9, 3)

    def forward(self, x):
        return self.fc(self.lif(self.function(self.conv(x))).flatten(1))


def compared(net, steps=4):
    """The source of a network, whose graph is compared with the network on other input."""
    source = source_of_module(net.eval(), in_shape=(1, 5, 5), steps=steps)
    x = 3 * torch.rand(20, 1, 5, 5, generator=torch.Generator().manual_seed(1))
    trace = run(source.graph, np.repeat(x[None].numpy(), steps, 0))
    utils.reset(net)
    with torch.no_grad():
        expected = torch.stack([net(x) for _ in range(steps)]).numpy()
    np.testing.assert_allclose(trace.logits, expected, atol=1e-5)
    assert 0.02 < trace.values[source.graph.neurons[0].name].mean() < 0.98
    return source


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_one_value(name):
    source = compared(Net(FUNCTIONS[name]))
    assert any(isinstance(node, Dynamics) for node in source.graph.nodes)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4, 3, 3), (1, 3, 3), (3, 1), (3,)])
def test_tensors_that_differ_between_pixels(shape, tmp_path):
    torch.manual_seed(2)
    by, plus = torch.rand(shape) + 0.5, torch.rand(shape)
    source = compared(Net(lambda x: plus - 2 * (x * by + plus) / (by + 1)))
    done = export_onnx(source, tmp_path, samples=random_samples((1, 5, 5), 8))
    assert done.report.verified
    with pytest.raises(ConfigError, match="is a function of values, which NIR cannot express"):
        export_nir(source, tmp_path / "a.nir", samples=random_samples((1, 5, 5), 8))


@pytest.mark.slow
def test_what_has_no_form_names_the_function():
    with pytest.raises(ConfigError) as refused:
        source_of_module(Net(lambda x: x.abs() ** 0.7), in_shape=(1, 5, 5), steps=2)
    assert "pow in the forward cannot be exported" in refused.value.what
    assert refused.value.remedy == "use squares, cubes and torch.sqrt"
