"""Layers without states: the graph, its ONNX forms and torch compute the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters.graph import ir as g
from asnn.exporters.graph.equations import traced
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.quantisation import with_rounded_weights
from asnn.exporters.nir.layers import refuse_unwritten
from tests.support.onnx_forms import FORMS, assert_every_form, graph_of, logits_in

T, B = 3, 2
few = settings(max_examples=12, deadline=None)
many = settings(max_examples=12, deadline=None)


def values(shape, seed=0):
    return np.random.default_rng(seed).standard_normal((T, B, *shape), np.float32)


def by_torch(layer, x):
    """The value of a layer for each step, flat, `[T, B, K]`."""
    with torch.no_grad():
        y = layer(torch.from_numpy(x).flatten(0, 1))
    return y.reshape(*x.shape[:2], -1).numpy()


def at(name="n", *inputs):
    return {"name": name, "inputs": inputs or (g.INPUT,)}


def pair(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def pools(draw):
    """A pool of torch, its node, and an image that it accepts."""
    kernel, stride = draw(pair(1, 4)), draw(pair(1, 4))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    ceil_mode = draw(st.booleans())
    options = {"kernel": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    dilation = (1, 1)
    if draw(st.booleans()):
        dilation = draw(pair(1, 3))
        layer = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
        options |= {"kind": "max", "dilation": dilation}
    else:
        counts, divisor = draw(st.booleans()), draw(st.none() | st.integers(1, 9))
        layer = nn.AvgPool2d(kernel, stride, padding, ceil_mode, counts, divisor)
        options |= {
            "kind": "average", "count_include_pad": counts, "divisor_override": divisor,
        }  # fmt: skip
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    sides = tuple(draw(st.integers(span, span + 7)) for span in spans)
    return layer, g.Pool(**at(), **options), (2, *sides)


@many
@given(pools())
def test_pools_are_those_of_torch(case):
    layer, node, shape = case
    x = values(shape)
    expected = by_torch(layer, x)
    if np.isinf(expected).any():  # of windows of padding alone
        with pytest.raises(ConfigError, match="an image that every window meets"):
            node.shape([shape])
        return
    found = run(graph_of(node, in_shape=shape), x).logits
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-5)


@few
@given(pools())
def test_pools_in_onnx(case):
    layer, node, shape = case
    x = values(shape)
    assume(np.isfinite(by_torch(layer, x)).all())
    assert_every_form(graph_of(node, in_shape=shape), x, by_torch(layer, x))


def test_negative_control_a_pool_with_other_divisors_differs():
    shape, options = (2, 5, 5), {"kernel": (2, 2), "stride": (2, 2), "padding": (1, 1)}
    node, x = g.Pool(**at(), kind="average", **options), values((2, 5, 5))
    assert node.is_plain(shape)
    without = replace(node, padding=(0, 0), ceil_mode=True)
    assert not without.is_plain(shape)
    assert without.is_plain((2, 4, 4))  # its windows end with the image
    plain = run(graph_of(node, in_shape=shape), x).logits
    other = run(graph_of(replace(node, count_include_pad=False), in_shape=shape), x).logits
    assert np.abs(plain - other).max() > 0.1


@st.composite
def transposed(draw):
    """A transposed convolution of torch, its node, and an image that it accepts."""
    groups = draw(st.sampled_from([1, 1, 2]))
    ins, outs = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3))
    kernel, stride, dilation = draw(pair(1, 3)), draw(pair(1, 3)), draw(pair(1, 2))
    sides = draw(pair(1, 4))
    more = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    padding = tuple(
        draw(st.integers(0, min(2, ((n - 1) * s + d * (k - 1) + m) // 2)))
        for n, s, d, k, m in zip(sides, stride, dilation, kernel, more, strict=True)
    )
    torch.manual_seed(draw(st.integers(0, 9)))
    layer = nn.ConvTranspose2d(
        ins, outs, kernel, stride, padding, more, groups, dilation=dilation,
        bias=draw(st.booleans()),
    )  # fmt: skip
    bias = np.zeros(outs, np.float32) if layer.bias is None else layer.bias.detach().numpy()
    node = g.ConvTranspose(
        **at(),
        weights=(g.swapped(layer.weight.detach().numpy(), groups),), biases=(bias,),
        of_step=(0,) * T, stride=stride, padding=padding, output_padding=more, dilation=dilation,
        groups=groups,
    )  # fmt: skip
    return layer, node, (ins, *sides)


@many
@given(transposed())
def test_transposed_convolutions_are_those_of_torch(case):
    layer, node, shape = case
    x = values(shape)
    found = run(graph_of(node, in_shape=shape), x).logits
    np.testing.assert_allclose(found, by_torch(layer, x), atol=1e-5, rtol=1e-5)
    np.testing.assert_array_equal(g.swapped(node.weights[0], node.groups), layer.weight.detach())


@few
@given(transposed())
def test_transposed_convolutions_in_onnx(case):
    layer, node, shape = case
    x = values(shape)
    assert_every_form(graph_of(node, in_shape=shape), x, by_torch(layer, x))


@pytest.mark.parametrize("weights", ["fp16", "int8"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("sets", [1, 2])
def test_weights_of_transposed_convolutions_are_rounded_by_output(weights, groups, sets):
    random = np.random.default_rng(0)
    kernels = tuple(random.standard_normal((4, 6 // groups, 3, 2), np.float32) for _ in range(sets))
    node = g.ConvTranspose(
        **at(), weights=kernels, biases=(np.arange(4, dtype=np.float32),) * sets,
        of_step=tuple(np.arange(T) % sets), groups=groups, stride=(2, 1),
    )  # fmt: skip
    graph = graph_of(node, in_shape=(6, 4, 3))
    x = values((6, 4, 3))
    rounded = with_rounded_weights(graph, weights)
    assert_every_form(graph, x, run(rounded, x).logits, weights=weights, atol=1e-4)
    assert np.abs(run(rounded, x).logits - run(graph, x).logits).max() > 1e-4


@few
@given(pair(0, 3), pair(0, 3))
def test_zeros_around_an_image(before, behind):
    x = values((2, 3, 4))
    expected = F.pad(torch.from_numpy(x), (before[1], behind[1], before[0], behind[0]))
    graph = graph_of(g.Pad(**at(), before=before, behind=behind), in_shape=(2, 3, 4))
    assert_every_form(graph, x, expected.flatten(2).numpy(), atol=0)


@pytest.mark.parametrize("kernel", [(2, 2), (4, 3), (1, 2)])
def test_padding_same_of_even_kernels_is_a_pad_before_a_convolution(kernel):
    torch.manual_seed(0)
    layer, x = nn.Conv2d(2, 3, kernel, padding="same"), values((2, 5, 6))
    spans = [size - 1 for size in kernel]
    before = tuple(span // 2 for span in spans)
    behind = tuple(span - span // 2 for span in spans)
    nodes = (
        g.Pad(**at("pad"), before=before, behind=behind),
        g.Conv(
            **at("conv", "pad"), weights=(layer.weight.detach().numpy(),),
            biases=(layer.bias.detach().numpy(),), of_step=(0,) * T,
        ),
    )  # fmt: skip
    assert_every_form(graph_of(*nodes, in_shape=(2, 5, 6)), x, by_torch(layer, x))


@st.composite
def norms(draw):
    """A norm of torch, its node, and the shape of a sample."""
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    affine, eps = draw(st.booleans()), draw(st.sampled_from([1e-5, 1e-2]))
    if draw(st.booleans()):
        over = draw(st.integers(1, len(shape)))
        layer = nn.LayerNorm(shape[-over:], eps=eps, elementwise_affine=affine)
        options = {"over": over, "kind": g.LayerNorm}
    else:
        groups = draw(st.integers(1, 3))
        shape = (groups * shape[0], *shape[1:], 2)
        layer = nn.GroupNorm(groups, shape[0], eps=eps, affine=affine)
        options = {"groups": groups, "kind": g.GroupNorm}
    if affine:
        torch.manual_seed(1)
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
        options |= {key: getattr(layer, key).detach().numpy() for key in ("weight", "bias")}
    return layer, options.pop("kind")(**at(), eps=eps, **options), shape


@many
@given(norms())
def test_norms_are_those_of_torch(case):
    layer, node, shape = case
    x = values(shape) + 1
    found = run(graph_of(node, in_shape=shape), x).logits
    np.testing.assert_allclose(found, by_torch(layer, x), atol=1e-4, rtol=1e-4)


@few
@given(norms())
def test_norms_in_onnx(case):
    _, node, shape = case
    x = values(shape) + 1
    graph = graph_of(node, in_shape=shape)
    assert_every_form(graph, x, run(graph, x).logits, atol=1e-4)


@pytest.mark.parametrize("opset", [17, 25])
def test_norms_in_the_first_and_last_opset(opset):
    nodes = (
        g.LayerNorm(**at("a"), over=2, bias=np.ones((3, 2), np.float32)),
        g.GroupNorm(**at("b", "a"), groups=2, weight=np.arange(4, dtype=np.float32)),
    )
    x, graph = values((4, 3, 2)), graph_of(*nodes, in_shape=(4, 3, 2))
    found, _ = logits_in(graph, x, "sequence", opset=opset)
    expected = F.layer_norm(torch.from_numpy(x), (3, 2), bias=torch.ones(3, 2)).flatten(0, 1)
    expected = F.group_norm(expected, 2, torch.arange(4.0)).reshape(T, B, -1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def affine(name, source, outs, ins):
    weight = np.random.default_rng(3).standard_normal((outs, ins), np.float32)
    zeros = np.zeros(outs, np.float32)
    return g.Linear(**at(name, source), weights=(weight,), biases=(zeros,), of_step=(0,) * T)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("shape", [(3,), (2, 5), (2, 3, 4)])
def test_values_one_after_another(shape, static):
    """The input and what a filter makes of it, which differs from step to step."""
    x = values(shape)
    code = np.ascontiguousarray(np.broadcast_to(x[:1], x.shape)) if static else x
    half = np.full((1, 1), 0.5, np.float32)
    nodes = (
        g.Filter(**at("f"), poles=half, gain=np.ones(1, np.float32)),
        g.Concat(**at("both", g.INPUT, "f", g.INPUT)),
    )
    filtered = [code[0]]
    for each in code[1:]:
        filtered.append(0.5 * filtered[-1] + each)
    expected = np.concatenate([code, np.stack(filtered), code], 2).reshape(T, B, -1)
    graph = graph_of(*nodes, in_shape=shape, static=static)
    assert graph.shapes["both"] == (3 * shape[0], *shape[1:])
    for form in FORMS:
        found, _ = logits_in(graph, code, form)
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=form)


@few
@given(st.permutations(range(3)))
def test_axes_and_shapes(order):
    x, shape = values((2, 3, 4)), (2, 3, 4)
    turned = tuple(shape[axis] for axis in order)
    nodes = (
        g.Transpose(**at("turned"), axes=tuple(order)),
        g.Reshape(**at("rows", "turned"), to=(turned[0], turned[1] * turned[2])),
        g.Reshape(**at("images", "rows"), to=(4, 1, 6)),
    )
    expected = torch.from_numpy(x).permute(0, 1, *(2 + axis for axis in order))
    graph = graph_of(*nodes, in_shape=shape)
    assert graph.shapes["images"] == (4, 1, 6)
    assert_every_form(graph, x, expected.flatten(2).numpy(), atol=0)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("axis, indices", [(0, (2, 0, 0)), (1, (3,)), (-1, (1, 1, 0, 4))])
def test_places_along_an_axis(axis, indices, static):
    x = np.ascontiguousarray(np.broadcast_to(values((3, 4, 5))[:1], (T, B, 3, 4, 5)))
    x = x if static else values((3, 4, 5))
    graph = graph_of(
        g.Gather(**at(), axis=axis % 3, indices=indices), in_shape=(3, 4, 5), static=static
    )
    expected = torch.from_numpy(x).index_select(axis % 3 + 2, torch.tensor(indices))
    assert_every_form(graph, x, expected.flatten(2).numpy(), atol=0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("log", [False, True])
def test_softmax(axis, log):
    x, shape = 30 * values((3, 4, 2)), (3, 4, 2)
    function = F.log_softmax if log else F.softmax
    expected = function(torch.from_numpy(x), axis + 2).flatten(2).numpy()
    graph = graph_of(g.Softmax(**at(), axis=axis, log=log), in_shape=shape)
    np.testing.assert_allclose(run(graph, x).logits, expected, atol=1e-5)
    assert_every_form(graph, x, expected)
    others = [run(graph_of(g.Softmax(**at(), axis=a), in_shape=shape), x).logits for a in (0, 1, 2)]
    assert sum(np.allclose(each, np.exp(expected) if log else expected) for each in others) == 1


@pytest.mark.parametrize("static", [False, True])
def test_products_of_matrices(static):
    """Of values of each step; one of them may be of an image, the same at all."""
    x = values((2, 3, 4))
    x = np.ascontiguousarray(np.broadcast_to(x[:1], x.shape)) if static else x
    half = np.full((1, 1), 0.5, np.float32)
    nodes = (
        g.Transpose(**at("turned"), axes=(0, 2, 1)),
        g.Filter(**at("f"), poles=half, gain=np.ones(1, np.float32)),
        g.MatMul(**at("n", "turned", "f")),
    )
    graph = graph_of(*nodes, in_shape=(2, 3, 4), static=static)
    assert graph.shapes["n"] == (2, 4, 4)
    kept = [torch.from_numpy(x[0])]
    for each in torch.from_numpy(x[1:]):
        kept.append(0.5 * kept[-1] + each)
    expected = torch.from_numpy(x).transpose(3, 4) @ torch.stack(kept)
    assert_every_form(graph, x, expected.flatten(2).numpy())


def test_series_pass_neurons_scales_and_filters():
    """A sample `[C, L]` has its channels first, as an image."""
    random = np.random.default_rng(0)
    factor = random.uniform(0.5, 1.5, (T, 4)).astype(np.float32)
    level = np.full((T, 4), 0.4, np.float32)
    nodes = (
        g.ChannelScale(**at("scale"), factor=factor, offset=factor / 4),
        g.Filter(**at("f", "scale"), poles=factor[:1] / 2, gain=factor[0]),
        g.Neuron(**at("n", "f"), leak=factor / 2, gain=factor, threshold=level, size=level),
        g.Concat(**at("both", "n", "scale")),
        g.Flatten(**at("flat", "both")),
        affine("out", "flat", 3, 56),
    )
    x, graph = values((4, 7)), graph_of(*nodes, in_shape=(4, 7))
    trace = run(graph, x)
    assert graph.shapes["both"] == (8, 7)
    assert 0.1 < trace.values["n"].mean() < 0.9
    assert_every_form(graph, x, trace.logits, atol=1e-4)


@pytest.mark.parametrize(
    ("node", "shape", "expected"),
    [
        (g.Concat(**at("n", g.INPUT, g.INPUT)), (3, 4), ""),
        (g.Reshape(**at(), to=(2, 4)), (3, 3), "expects 8 values"),
        (g.Transpose(**at(), axes=(1, 0)), (3, 3, 3), "expects 2 axes"),
        (g.Transpose(**at(), axes=(0, 0)), (3, 3), "expects 2 axes"),
        (g.Gather(**at(), axis=1, indices=(0, 3)), (3, 3), "an axis 1 with the places"),
        (g.Softmax(**at(), axis=2), (3, 3), "expects 3 axes or more"),
        (g.MatMul(**at("n", g.INPUT, g.INPUT)), (3, 4), "k, m"),
        (g.LayerNorm(**at(), over=3), (3, 3), "expects 3 axes or more"),
        (g.LayerNorm(**at(), over=1, weight=np.ones(4, np.float32)), (3, 3), r"last axes \[4\]"),
        (g.GroupNorm(**at(), groups=2), (3, 3, 3), "a multiple of 2 channels"),
        (g.Pad(**at(), before=(1, 1), behind=(0, 0)), (3, 3), "an image"),
        (
            g.Pool(
                **at(), kind="max", kernel=(2, 1), stride=(1, 1), padding=(1, 0), dilation=(2, 1)
            ),
            (2, 1, 4),
            "an image that every window meets",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(node, shape, expected):
    graph = g.Graph((node,), shape, T)
    if not expected:
        assert graph.shapes["n"] == (6, 4)
        return
    with pytest.raises(ConfigError, match=f"layer 'n' expects .*{expected.split('expects ')[-1]}"):
        _ = graph.shapes


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("shape", [(3,), (3, 5), (3, 2, 4)])
def test_functions_of_values(shape, static):
    """Without states, with constants of each value, of one input or two."""
    mask = torch.from_numpy(values(shape)[0, 0])

    def gated(x, y):
        return (torch.sigmoid(x) * (y - mask) / 2 + x.abs().clamp(0.1, 1.0)).relu()

    nodes = (
        traced(g.Dynamics, "double", (g.INPUT,), lambda x: 2 * x - 1, [], {}, T),
        g.Filter(**at("f"), poles=np.full((1, 1), 0.5, np.float32), gain=np.ones(1, np.float32)),
        traced(g.Dynamics, "n", ("double", "f"), gated, [], {}, T),
    )
    x = np.abs(values(shape, 1)) % 1
    x = np.ascontiguousarray(np.broadcast_to(x[:1], x.shape)) if static else x
    graph = graph_of(*nodes, in_shape=shape, static=static)
    assert ("double" in graph.time_invariant) == static
    assert "n" not in graph.time_invariant
    kept = [torch.from_numpy(x[0])]
    for each in torch.from_numpy(x[1:]):
        kept.append(0.5 * kept[-1] + each)
    expected = gated(torch.from_numpy(2 * x - 1), torch.stack(kept)).reshape(T, B, -1).numpy()
    assert_every_form(graph, x, expected)
    refused = g.Graph(nodes[:1], shape, T)
    with pytest.raises(ConfigError, match="'double' is a function of values, which NIR cannot"):
        refuse_unwritten(refused)


REFUSED_IN_NIR = {
    "Reshape": (g.Reshape(**at(), to=(4, 2, 2)), "gives values another shape"),
    "Transpose": (g.Transpose(**at(), axes=(0, 2, 1)), "changes the order of axes"),
    "Gather": (g.Gather(**at(), axis=1, indices=(0, 0)), "picks or repeats values along an axis"),
    "Softmax": (g.Softmax(**at(), axis=0), "is a softmax"),
    "MatMul": (g.MatMul(**at("n", g.INPUT, g.INPUT)), "multiplies the matrices of two paths"),
    "Pad": (g.Pad(**at(), before=(0, 0), behind=(1, 1)), "pads an image with zeros"),
    "LayerNorm": (g.LayerNorm(**at(), over=1), "divides by the deviation of a sample"),
    "GroupNorm": (g.GroupNorm(**at(), groups=2), "divides by the deviation of a sample"),
    "ConvTranspose": (
        g.ConvTranspose(
            **at(), weights=(np.ones((2, 2, 1, 1), np.float32),),
            biases=(np.zeros(2, np.float32),), of_step=(0,) * T,
        ),
        "is a transposed convolution",
    ),
    "Pool": (
        g.Pool(**at(), kind="average", kernel=(3, 3), stride=(2, 2), ceil_mode=True),
        "pools windows of several sizes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_IN_NIR)
def test_nir_refuses_them_with_a_reason(name):
    node, what = REFUSED_IN_NIR[name]
    shape = {"Pool": (2, 4, 4), "MatMul": (2, 2, 2)}.get(name, (2, 4, 2))
    graph = g.Graph((node,), shape, T)
    assert graph.shapes
    with pytest.raises(ConfigError) as refused:
        refuse_unwritten(graph)
    assert refused.value.what == f"layer 'n' {what}, which NIR cannot express"
    assert refused.value.why and refused.value.remedy.startswith("use --format onnx")


def test_nir_refuses_the_membrane_of_a_neuron_with_a_reset():
    def step(x, s, v):
        v = v / 2 + x - s
        return v, v

    node = traced(g.Dynamics, "n", (g.INPUT, g.INPUT), step, ["v"], {}, T)
    with pytest.raises(ConfigError) as refused:
        refuse_unwritten(g.Graph((node,), (3,), T))
    assert "'n' has the membrane of a neuron with a reset as its value" in refused.value.what
    assert "reset_mechanism='none'" in refused.value.remedy
