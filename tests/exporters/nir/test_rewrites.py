"""Values side by side as sums, and series as images of height 1: the same network in NIR."""

import numpy as np
import pytest
import torch
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters import ExportSource, Samples, export_nir, verify
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Concat, Conv, Flatten, Graph, Linear, Neuron, Reshape
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.nir.lif import build_lif
from asnn.exporters.nir.nodes import pointwise
from asnn.exporters.nir.targets import TARGETS, problems
from asnn.exporters.nir.unrolled import answer_of, input_of, unroll
from asnn.exporters.source import NetworkOutput

STEPS = 5


def weights(seed, *shape, size=1.0):
    return (size * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def layer(kind, name, source, seed, *shape, **more):
    size = 1 / np.sqrt(np.prod(shape[1:]))
    own = {"weights": (weights(seed, *shape, size=size),), "biases": (weights(seed, shape[0]),)}
    return kind(name=name, inputs=(source,), **own, of_step=(0,) * STEPS, **more)


def neuron(name, source, reset):
    one = np.ones((STEPS, 1), np.float32)
    own = {"leak": 0.7 * one, "gain": one, "threshold": 0.5 * one, "size": 0.5 * one}
    return Neuron(name=name, inputs=(source,), reset=reset, **own)


def side_by_side(reset, image):
    """Two layers of neurons that a third reads together."""
    kind, kernel = (Conv, (3, 3)) if image else (Linear, ())
    more = {"padding": (1, 1)} if image else {}
    nodes = [
        layer(kind, "a", "input", 1, 3, 2, *kernel, **more),
        neuron("sa", "a", reset),
        layer(kind, "b", "input", 2, 4, 2, *kernel, **more),
        neuron("sb", "b", reset),
        Concat(name="both", inputs=("sa", "sb", "input")),
        layer(kind, "c", "both", 3, 5, 9, *kernel, **more),
        neuron("sc", "c", reset),
    ]
    if image:
        nodes += [Flatten(name="flat", inputs=("sc",)), layer(Linear, "out", "flat", 4, 3, 100)]
    else:
        nodes.append(layer(Linear, "out", "sc", 4, 3, 5))
    return Graph(tuple(nodes), (2, 4, 5) if image else (2,), STEPS)


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_values_side_by_side_are_sums(reset, image):
    graph = side_by_side(reset, image)
    code = weights(7, STEPS, 6, *graph.in_shape, size=1.5)
    expected = run(graph, code)
    assert 0.1 < expected.values["sc"].mean() < 0.9
    if reset == "zero":
        made = build_lif(graph, {})
        found = run_nir(made, code)
        assert (found["sc"] == expected.values["sc"]).all()
        logits = found["output"]
        assert np.allclose(logits, expected.logits, atol=1e-5)
        assert not problems(made, TARGETS["spikingjelly"])
    else:
        made = unroll(graph, "portable", {})
        answer = answer_of(graph, run_nir(made, input_of(graph, code)[None])["output"][0])
        assert np.allclose(answer, graph.answer.of(expected.logits), atol=1e-5)


def test_samples_of_two_axes_are_refused():
    with pytest.raises(ConfigError, match=r"scale or place samples of 2 axes, \[3, 7\]") as error:
        pointwise(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), (3, 7))
    assert "as images [C, 1, L]" in error.value.remedy


class Given:
    """Samples are encoded steps."""

    takes = ("series",)
    name = "given"
    steps = STEPS


class Series(nn.Module):
    """A convolution over one axis, its neurons, and a linear layer, in torch."""

    def __init__(self, graph):
        super().__init__()
        conv, out = graph.nodes[1], graph.nodes[-1]
        tensors = (conv.weights[0][:, :, 0], conv.biases[0], out.weights[0], out.biases[0])
        self.weight, self.bias, self.out, self.out_bias = map(torch.from_numpy, tensors)

    def forward(self, code):
        v, spikes = 0, []
        for x in code:
            v = 0.7 * v + nn.functional.conv1d(x, self.weight, self.bias, 2)
            spikes.append((v > 0.5).float())
            v = v * (1 - spikes[-1])
        spikes = torch.stack(spikes)
        logits = spikes.flatten(2) @ self.out.T + self.out_bias
        return NetworkOutput(logits, {"lif": spikes[:, :, :, None]})


def series():
    nodes = (
        Reshape(name="image", inputs=("input",), to=(2, 1, 16)),
        layer(Conv, "conv", "image", 1, 3, 2, 1, 4, stride=(1, 2)),
        neuron("lif", "conv", "zero"),
        Flatten(name="flat", inputs=("lif",)),
        layer(Linear, "out", "flat", 2, 4, 21),
    )
    graph = Graph(nodes, (2, 16), STEPS)
    return ExportSource(graph, Given(), Series(graph))


@pytest.mark.slow
def test_series_are_read_as_images_of_height_1(tmp_path):
    source = series()
    samples = Samples(weights(3, 12, STEPS, 2, 16), None, "noise")
    done = export_nir(source, tmp_path / "a.nir", samples=samples, form="lif")
    assert done.report.verified and all(done.report.spikes.values())
    others = {parity.runtime for parity in done.report.parities}
    assert {"torch", "numpy, from the file", "snntorch", "spikingjelly", "norse"} <= others
    assert verify(source, tmp_path / "a.nir", samples).verified
    changed = series()
    changed.eager.weight = -changed.eager.weight  # negative control: another network in torch
    assert not verify(changed, tmp_path / "a.nir", samples).verified
