"""Kernels with zeros to a square: the same values, and the shape that nir infers."""

import nir
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from asnn.core.errors import ConfigError
from asnn.exporters.graph.ir import Conv
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.nir.nodes import NirBuilder
from asnn.exporters.nir.square_kernels import with_square_kernel


def convolution(kernel, *, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
    rng = np.random.default_rng(0)
    return Conv(
        name="conv",
        inputs=("input",),
        weights=(rng.standard_normal((3, 2, *kernel)).astype(np.float32),),
        biases=(rng.standard_normal(3).astype(np.float32),),
        of_step=(0,),
        stride=stride,
        padding=padding,
        dilation=dilation,
    )


def written(layer, image):
    """The layer as the node of a graph that nir has type-checked."""
    builder = NirBuilder("portable")
    builder.add("input", nir.Input({"input": np.array(image)}))
    builder.affine("conv", layer, 0, image, "input")
    shape = layer.shape([image])
    builder.add("output", nir.Output({"output": np.array(shape)}), "conv")
    return nir.NIRGraph(builder.nodes, builder.edges, type_check=True)


def check(layer, image):
    x = np.random.default_rng(1).standard_normal((1, 4, *image)).astype(np.float32)
    weight, bias = torch.from_numpy(layer.weights[0]), torch.from_numpy(layer.biases[0])
    options = (layer.stride, layer.padding, layer.dilation)
    expected = F.conv2d(torch.from_numpy(x[0]), weight, bias, *options)
    found = run_nir(written(layer, image), x)["output"][0]
    assert np.allclose(found, expected, atol=1e-5)


sizes = st.tuples(st.integers(1, 6), st.integers(1, 6))


@settings(deadline=None, max_examples=60)
@given(sizes, sizes, sizes, st.tuples(st.integers(0, 3), st.integers(0, 3)), sizes)
def test_the_values_are_those_of_torch(image, kernel, stride, padding, dilation):
    layer = convolution(kernel, stride=stride, padding=padding, dilation=dilation)
    try:
        layer.shape([(2, *image)])
        with_square_kernel(layer, (2, *image))
    except ConfigError:
        assume(False)
    check(layer, (2, *image))


@pytest.mark.parametrize("length", range(1, 9))
def test_every_kernel_over_one_axis_can_be_written(length):
    """Conv1d, as images of height 1: also of even lengths, since there is one window of height."""
    check(convolution((1, length), stride=(1, 2)), (2, 1, 30))


def test_square_kernels_stay_as_they_are():
    layer = convolution((3, 3))
    assert with_square_kernel(layer, (2, 8, 8)) is layer


def test_sides_that_differ_by_an_odd_number_are_refused_with_the_reason():
    with pytest.raises(ConfigError, match="'conv' has a kernel of 2 x 3") as error:
        written(convolution((2, 3)), (2, 8, 8))
    assert "infers the shape of the output from the first side" in error.value.why
    assert "such as 2 x 4, or --format onnx" in error.value.remedy
    layer = convolution((2, 3))
    node = nir.Conv2d((8, 8), layer.weights[0], 1, 0, 1, 1, layer.biases[0])  # nir as it is
    assert [*node.output_type["output"]] != [*layer.shape([(2, 8, 8)])]
