"""The kernels as operators of torch: schema, fake implementation, gradient; what torch records."""

import copy
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.library import opcheck
from torch.testing._internal.optests import OpCheckError
from torch.utils._python_dispatch import TorchDispatchMode

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.kernels import dispatch
from asnn.kernels.cpu import backend as cpu
from asnn.kernels.operators import fused_layer
from asnn.kernels.operators.definition import define
from asnn.models import AdaptiveLeaky, create_model, use_kernels
from asnn.models.layers.convolution import PointConv2d, SpikeConv2d
from asnn.models.layers.norm import create_norm
from asnn.models.layers.residual import Residual
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.neurons.integrate import Integrate
from asnn.models.neurons.lif import Lif

STEPS, BATCH, CHANNELS = 3, 4, 18


def drawn(*shape, seed=0, grad=False):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return x.requires_grad_(grad)


def spikes(*shape, density=0.05, grad=False):
    seeded = torch.Generator().manual_seed(3)
    return (torch.rand(*shape, generator=seeded) < density).float().requires_grad_(grad)


# Arguments for opcheck. Gradients are compared between eager and traced autograd, and shapes,
# dtypes and strides between the operator and its fake implementation.


def layer_arguments(
    *,
    norm_steps=(1, 2),
    static=False,
    sized=False,
    count=True,
    by_batch=True,
    by_channel=False,
    **more,
):
    batch, height, width = 2, 3, 4
    norms = [None] * 4
    if norm_steps:
        size = len(norm_steps), CHANNELS
        norms = [drawn(*size, seed=seed, grad=seed < 2) for seed in range(4)]
        norms[2:] = norms[2].double(), norms[3].abs().double() + 0.5
    schedule = [drawn(STEPS, CHANNELS, seed=seed).sigmoid().requires_grad_() for seed in (5, 6, 7)]
    x = drawn(1 if static else STEPS, batch * height * width, CHANNELS, seed=8, grad=True)
    threshold = drawn(CHANNELS, seed=9).sigmoid() if by_channel else torch.tensor([0.4])
    tensors = (x, *norms, *schedule[:2], schedule[2] if sized else None, threshold)
    options = {
        "batch": batch,
        "height": height,
        "width": width,
        "window": (2, 2),
        "static": static,
        "norm_steps": norm_steps,
        "by_batch": by_batch,
        "reset": "subtract",
        "surrogate": "atan",
        "alpha": 2.0,
        "learns_threshold": not sized,
        "count": count,
        **more,
    }
    tensors[-1].requires_grad_(not sized)
    return tensors, options


def layer_backward_arguments(**changes):
    (x, _, _, _, deviation, _, _, size, threshold), options = layer_arguments(**changes)
    table = torch.stack([drawn(STEPS, CHANNELS, seed=seed).sigmoid() for seed in range(6)])
    options = {name: value for name, value in options.items() if name != "count"}
    tensors = drawn(STEPS, 2 * 1 * 2, CHANNELS), x, table, threshold, deviation
    detached = tuple(None if tensor is None else tensor.detach() for tensor in tensors)
    return detached, {**options, "sized": size is not None}


def sum_arguments(*, by_batch=True, other=True):
    x, norm = drawn(STEPS, 12, CHANNELS, grad=True), (2, CHANNELS)
    weight, bias = drawn(*norm, seed=1, grad=True), drawn(*norm, seed=2, grad=True)
    mean, deviation = drawn(*norm, seed=3).double(), drawn(*norm, seed=4).abs().double() + 0.5
    added = drawn(*x.shape, seed=5, grad=True) if other else None
    return (x, added, weight, bias, mean, deviation), {"norm_steps": (1, 2), "by_batch": by_batch}


def sum_backward_arguments():
    (x, *_, deviation), options = sum_arguments()
    rows, step = x.detach(), drawn(STEPS, CHANNELS)
    return (drawn(*rows.shape, seed=6), rows, step, step.abs() + 0.1, deviation), options


def convolution_arguments(*, prefix=True, bias=True, density=0.02, channels_last=True):
    x = spikes(20, 64, 8, 8, density=density, grad=True)
    if channels_last:
        x = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = drawn(64, 64, 3, 3, seed=1, grad=True)
    tensors = (
        x,
        weight,
        drawn(64, seed=2, grad=True) if bias else None,
        drawn(2, 64, 4, 4, seed=3, grad=True) if prefix else None,
    )
    return tensors, {"stride": (2, 2), "padding": (1, 1), "learns": True}


def convolution_backward_arguments(mask=(True, True, True), decision=(1, 1, 0)):
    (x, weight, _, _), options = convolution_arguments()
    grad = drawn(20, 64, 4, 4).contiguous(memory_format=torch.channels_last)
    tensors = grad, x.detach(), weight.detach(), torch.tensor(decision)
    return tensors, {"stride": options["stride"], "padding": options["padding"], "mask": mask}


def filter_arguments(*, gain=True, learns=True):
    x, poles = drawn(STEPS, 12, CHANNELS, grad=True), drawn(2, CHANNELS, seed=1).sigmoid()
    gains = drawn(CHANNELS, seed=2, grad=learns) if gain else None
    return (x, poles.requires_grad_(learns), gains), {}


def filter_backward_arguments(*, gain=True, learns=True):
    tensors, _ = filter_arguments(gain=gain)
    detached = tuple(None if tensor is None else tensor.detach() for tensor in tensors)
    return (drawn(STEPS, 12, CHANNELS, seed=6), *detached), {"learns": learns}


OPERATORS = {
    "norm_statistics": ((drawn(STEPS, 8, 5),), {"norm_steps": (1, 2), "static": False}),
    "norm_statistics, static": ((drawn(1, 8, 5),), {"norm_steps": (1, 2), "static": True}),
    "fused_layer": layer_arguments(),
    "fused_layer, static": layer_arguments(static=True),
    "fused_layer, evaluation": layer_arguments(by_batch=False, count=False),
    "fused_layer, no norm": layer_arguments(norm_steps=(), by_batch=False),
    "fused_layer, reset size": layer_arguments(sized=True),
    "fused_layer, once": layer_arguments(once=True),
    "fused_layer, counts": layer_arguments(sized=True, most=3),
    "fused_layer, lif": layer_arguments(by_channel=True, reset="zero", detached=True),
    "fused_layer_backward": layer_backward_arguments(),
    "fused_layer_backward, lif": layer_backward_arguments(by_channel=True, detached=True),
    "fused_layer_backward, once": layer_backward_arguments(once=True),
    "fused_layer_backward, counts": layer_backward_arguments(sized=True, most=3),
    "fused_layer_backward, no norm": layer_backward_arguments(
        norm_steps=(), by_batch=False, sized=True
    ),
    "normed_sum": sum_arguments(),
    "normed_sum, one path": sum_arguments(by_batch=False, other=False),
    "normed_sum_backward": sum_backward_arguments(),
    "pole_filter": filter_arguments(),
    "pole_filter, fixed": filter_arguments(learns=False),
    "pole_filter, no gain": filter_arguments(gain=False),
    "pole_filter_backward": filter_backward_arguments(),
    "pole_filter_backward, fixed": filter_backward_arguments(gain=False, learns=False),
    "spike_convolution": convolution_arguments(),
    "spike_convolution, alone": convolution_arguments(prefix=False, bias=False),
    "spike_convolution, dense": convolution_arguments(density=0.9, channels_last=False),
    "spike_convolution_backward": convolution_backward_arguments(),
    "spike_convolution_backward, masked": convolution_backward_arguments((False, True, False)),
    "spike_convolution_backward, dense": convolution_backward_arguments(decision=(0, 0, 0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_are_what_torch_expects(name):
    """All of opcheck: schema, autograd registration, fake tensors, tracing with both kinds of
    shapes."""
    tensors, options = OPERATORS[name]
    operator = getattr(torch.ops.asnn, name.partition(",")[0]).default
    assert set(opcheck(operator, tensors, options).values()) == {"SUCCESS"}


def wrong_rows(*tensors, **options):
    found = fused_layer._fake_fused_layer(*tensors, **options)
    return found[0].new_empty(STEPS, 5, CHANNELS), *found[1:]


def wrong_dtype(*tensors, **options):
    found = fused_layer._fake_fused_layer(*tensors, **options)
    return found[0].double(), *found[1:]


@pytest.mark.parametrize("fake", [wrong_rows, wrong_dtype])
def test_a_wrong_fake_implementation_is_noticed(fake):
    """The negative control of the test above."""
    schema = torch.ops.asnn.fused_layer.default._schema
    arguments = str(schema).removeprefix("asnn::fused_layer")
    wrong = define(f"fused_layer_{fake.__name__}", arguments, fused_layer._fused_layer, fake)
    tensors, options = layer_arguments()
    with pytest.raises(OpCheckError, match="test_faketensor"):
        opcheck(wrong, tensors, options, test_utils="test_faketensor")


def test_a_result_that_is_an_input_is_noticed():
    """The negative control of the schema: an operator that returns its input."""
    same = define("same", "(Tensor x) -> Tensor", lambda x: x, torch.empty_like)
    with pytest.raises(RuntimeError, match="alias"):
        same(drawn(3))


# Eager code calls the functions directly, and under a dispatch mode through the operators.


class Recorded(TorchDispatchMode):
    """Computes as usual, and records the operators of asnn."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "asnn":
            self.names.append(func._schema.name.removeprefix("asnn::"))
        return func(*args, **(kwargs or {}))


def trained_once(module, x, backend=None):
    """Return output, all gradients, and the buffers after one step; compiled by a backend."""
    module, leaf = copy.deepcopy(module), x.detach().clone().requires_grad_()
    if backend is not None:
        torch._dynamo.reset()
        module.compile(fullgraph=True, backend=backend)
    out = module(leaf)
    (out * drawn(*out.shape, seed=9)).sum().backward()
    grads = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return {"out": out.detach(), "x": leaf.grad, **grads, **dict(module.named_buffers())}


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    differ = [name for name in found if not torch.equal(found[name], expected[name])]
    assert differ == []


class TimeMajor(nn.Module):
    """Makes steps of a batch: of a static input, or of one with T times as many images."""

    def __init__(self, layer, static=False):
        super().__init__()
        self.layer, self.static = layer, static

    def forward(self, x):
        x = x.expand(STEPS, *x.shape) if self.static else x.unflatten(0, (STEPS, -1))
        return self.layer(x)


def spiking_layer(norm="folded", *, static=False, pool=None, neuron=AdaptiveLeaky, **options):
    torch.manual_seed(0)
    made = create_norm(norm, CHANNELS, steps=STEPS, image=True) if norm else None
    if neuron is not Lif:  # whose gain is 1 - leak
        options["gain"] = 1.5
    made_neuron = neuron(STEPS, CHANNELS, **options)
    return TimeMajor(SpikingLayer(made, made_neuron, pool), static)


def residual_block():
    torch.manual_seed(0)
    norm = create_norm("per-step", CHANNELS, steps=STEPS, image=True)
    return TimeMajor(Residual(nn.Sequential(nn.Tanh(), norm), nn.Sequential(nn.Sigmoid())))


def convolution(**options):
    torch.manual_seed(0)
    return SpikeConv2d(64, 64, 3, padding=1, **options)


IMAGES = drawn(STEPS * BATCH, CHANNELS, 5, 6).contiguous(memory_format=torch.channels_last)
SPIKES = spikes(20, 64, 8, 8).contiguous(memory_format=torch.channels_last)
LAYER = ["fused_layer", "fused_layer_backward"]
CONVOLUTION = ["spike_convolution", "spike_convolution_backward"]
MODULES = {
    "layer": (spiking_layer(), IMAGES, ["norm_statistics", *LAYER]),
    "pool": (spiking_layer(pool=nn.MaxPool2d(2)), IMAGES, ["norm_statistics", *LAYER]),
    "static": (spiking_layer(static=True), IMAGES, ["norm_statistics", *LAYER]),
    "evaluation": (spiking_layer("per-step").eval(), IMAGES, LAYER),
    "no norm": (spiking_layer(None, reset="zero", surrogate="triangular"), IMAGES, LAYER),
    "learned": (
        spiking_layer(
            learn_reset_size=True, learn_threshold=True, granularity="channel", alpha=1.5
        ),
        IMAGES,
        ["norm_statistics", *LAYER],
    ),
    "once": (spiking_layer(once=True), IMAGES, ["norm_statistics", *LAYER]),
    "counts": (
        spiking_layer(neuron=Integrate, most=3, learn_amplitude=True, granularity="channel"),
        IMAGES,
        ["norm_statistics", *LAYER],
    ),
    "lif": (spiking_layer(neuron=Lif, leak=0.3), IMAGES, ["norm_statistics", *LAYER]),
    "residual": (
        residual_block(),
        IMAGES,
        ["norm_statistics", "normed_sum", "normed_sum_backward"],
    ),
    "convolution": (convolution(), SPIKES, CONVOLUTION),
    "strided convolution": (convolution(stride=2, bias=False), SPIKES, CONVOLUTION),
    "convolution of any values": (convolution(), SPIKES * (1 + 2**-20), CONVOLUTION),
    "dense convolution": (convolution(), SPIKES + 1, CONVOLUTION),
    "1x1 convolution": (PointConv2d(CHANNELS, 16, stride=2), IMAGES, []),
}


@pytest.mark.parametrize("name", MODULES)
def test_operators_give_the_bits_of_eager_code(name):
    module, x, names = MODULES[name]
    expected = trained_once(module, x)
    with Recorded() as recorded:
        found = trained_once(module, x)
    assert recorded.names == names
    assert_same_bits(found, expected)


@pytest.mark.parametrize("tiles", [False, True], ids=["events", "tiles"])
def test_each_way_of_a_convolution_gives_the_bits_of_eager_code(monkeypatch, tiles):
    if tiles and not cpu.has_tiles():
        pytest.skip("this machine has no AMX")
    monkeypatch.setattr(cpu, "has_tiles", lambda: tiles)
    taken = []
    for name in ("convolve_events", "convolve_tiles"):
        kernel = getattr(cpu, name)
        monkeypatch.setattr(
            cpu, name, lambda *a, n=name, k=kernel, **o: (taken.append(n), k(*a, **o))[1]
        )
    x = spikes(20, 64, 8, 8, density=0.3 if tiles else 0.01)
    expected = trained_once(convolution(), x)
    with Recorded():
        found = trained_once(convolution(), x)
    assert set(taken) == {"convolve_tiles" if tiles else "convolve_events"}
    assert_same_bits(found, expected)


def test_eager_code_takes_no_operator():
    module, x, _ = MODULES["layer"]
    out = copy.deepcopy(module)(x.requires_grad_())
    node = out.grad_fn
    while node is not None and "Fused" not in node.name():
        node = node.next_functions[0][0]
    assert node is not None and node.name() == "_FusedBackward"


def test_spikes_are_counted_by_the_operator_too():
    counts = []
    module, x, _ = MODULES["pool"]
    module = copy.deepcopy(module)
    module.layer.spike_observers.append(lambda number, neurons: counts.append(number))
    module(x)
    with Recorded():
        module(x)
    assert torch.equal(*counts) and counts[0].sum() > 0


def test_there_is_no_second_derivative():
    module, x, _ = MODULES["layer"]
    with Recorded():
        leaf = x.detach().clone().requires_grad_()
        (grad,) = torch.autograd.grad(module(leaf).sum(), leaf, create_graph=True)
        with pytest.raises(RuntimeError, match="no second derivative: use kernels 'reference'"):
            grad.sum().backward()


# Compiling, exporting, fake tensors


def lenet():
    torch.manual_seed(0)
    model = create_model(
        "lenet", in_shape=(2, 12, 12), classes=4, steps=2, widths=[16, 32], hidden=12
    )
    use_kernels(model, "fused")
    return model


def ms_resnet():
    torch.manual_seed(0)
    model = create_model("ms-resnet", in_shape=(2, 8, 8), classes=4, steps=2, width=16)
    use_kernels(model, "fused")
    return model


def images(number=6, size=12):
    return torch.rand(number, 2, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
def test_a_compiled_network_trains_as_in_eager_mode():
    model = lenet()
    found = trained_once(model, images(), backend="aot_eager")
    assert_same_bits(found, trained_once(model, images()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["layer", "static", "learned", "counts", "residual", "convolution"]
)
def test_a_compiled_layer_gives_the_spikes_and_gradients_of_eager_mode(name):
    module, x, _ = MODULES[name]
    found = trained_once(module, x, backend="aot_eager")
    assert_same_bits(found, trained_once(module, x))


@pytest.mark.slow
def test_a_compiled_network_takes_batches_of_any_size():
    model, seen = lenet(), []

    def backend(graph, inputs):
        seen.append(graph)
        return graph

    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend=backend, dynamic=True)
    for number in (4, 7, 5):
        x = images(number)
        assert torch.equal(compiled(x), model(x))
    assert len(seen) == 1
    targets = {str(node.target) for node in seen[0].graph.nodes}
    assert {"asnn.fused_layer", "asnn.norm_statistics", "asnn.spike_convolution"} <= targets


@pytest.mark.slow
def test_inductor_compiles_a_layer():
    module, x, _ = MODULES["pool"]
    found, expected = trained_once(module, x, backend="inductor"), trained_once(module, x)
    assert found.keys() == expected.keys()
    # Inductor may round elementwise operations between the operators otherwise.
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


def operators_of(program):
    return {node.target._schema.name for node in program.graph.nodes if "asnn" in str(node.target)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "size", "operators"),
    [
        (lenet().eval(), 12, {"fused_layer", "spike_convolution"}),
        (lenet().eval().frozen(), 12, {"fused_layer", "spike_convolution"}),
        pytest.param(
            ms_resnet().eval(),
            8,
            {"fused_layer", "spike_convolution", "normed_sum"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["lenet", "frozen", "ms-resnet"],
)
def test_an_exported_network_gives_the_same_logits(model, size, operators):
    x = images(size=size)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert operators_of(program) == {f"asnn::{name}" for name in operators}
    for number in (6, 3):
        assert torch.equal(program.module()(x[:number]), model(x[:number]))


FRESH = """
import sys, torch
import asnn.kernels.operators
assert "asnn.models" not in sys.modules
program = torch.export.load(sys.argv[1])
x, expected = torch.load(sys.argv[2])
assert torch.equal(program.module()(x), expected)
"""


@pytest.mark.slow
def test_an_exported_program_runs_with_the_operators_alone(tmp_path):
    model, x = lenet().eval(), images()
    torch.export.save(torch.export.export(model, (x,)), tmp_path / "model.pt2")
    torch.save((x, model(x).detach()), tmp_path / "expected.pt")
    files = tmp_path / "model.pt2", tmp_path / "expected.pt"
    subprocess.run([sys.executable, "-c", FRESH, *files], check=True)


COMPILED_FIRST = """
import sys, torch
from asnn.models import create_model
model = create_model("mlp", in_shape=(1, 3, 3), classes=2, steps=2, features=[16])
assert "numba" not in sys.modules and "torch._dynamo" not in sys.modules
x = torch.rand(4, 1, 3, 3)
compiled = torch.compile(model, fullgraph=True, backend="eager")(x)
assert model.body.spikes1.used == "fused"
assert torch.equal(compiled, model(x))
"""


@pytest.mark.slow
def test_the_first_call_of_a_process_may_be_a_compiled_one():
    """The backend is looked for while torch traces."""
    subprocess.run([sys.executable, "-c", COMPILED_FIRST], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("make", "size"), [(lenet, 12), (ms_resnet, 8)])
def test_fake_tensors_have_the_shapes_and_dtypes_of_real_ones(make, size, training):
    model = make().train(training)
    with torch.no_grad():
        real = model(images(size=size))
    fake = copy.deepcopy(model)
    with FakeTensorMode() as mode, Recorded() as recorded:
        for module in fake.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    tensors[name] = None if tensor is None else mode.from_tensor(tensor)
        x = torch.empty(6, 2, size, size, requires_grad=True)
        out = fake(x)
        out.sum().backward()
    assert {"fused_layer", "fused_layer_backward", "spike_convolution"} <= {*recorded.names}
    assert (out.shape, out.dtype, out.stride()) == (real.shape, real.dtype, real.stride())
    assert x.grad.shape == x.shape
    assert all(p.grad is None or p.grad.shape == p.shape for p in fake.parameters())


def test_torch_jit_records_the_reference():
    model, x = lenet().eval(), images()
    use_kernels(model, "auto")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, (x,), check_trace=False)
    assert "asnn::" not in str(traced.inlined_graph)
    torch.testing.assert_close(traced(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_onnx_exporter_of_torch_records_the_reference(monkeypatch):
    model, x = lenet().eval(), images()
    use_kernels(model, "auto")
    assert operators_of(torch.export.export(model, (x,)))
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    program = torch.export.export(model, (x,))
    assert operators_of(program) == set()
    torch.testing.assert_close(program.module()(x), model(x), rtol=1e-4, atol=1e-4)


def test_eager_tensors_are_not_traced():
    assert not dispatch.is_traced(drawn(3))
    assert not dispatch.is_traced(nn.Parameter(drawn(3)))
    with FakeTensorMode():
        assert dispatch.is_traced(torch.empty(3))
    with Recorded():
        assert dispatch.is_traced(drawn(3))
