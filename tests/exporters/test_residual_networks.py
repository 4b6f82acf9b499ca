"""Networks whose paths part and meet: residual blocks, attention, deep stems, as files."""

import functools

import nir
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export as exporting
from asnn.exporters import export_nir, export_onnx, verify
from asnn.exporters.graph.interpreter import attention, evaluate, run
from asnn.exporters.graph.ir import (
    Add,
    Attention,
    ChannelScale,
    Conv,
    Flatten,
    Graph,
    Linear,
    Pool,
    Product,
    Readout,
)
from asnn.exporters.graph.lowering import freeze_network
from asnn.exporters.graph.quantisation import with_rounded_weights
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.nir.nodes import NirBuilder
from asnn.exporters.nir.targets import TARGETS, problems
from asnn.exporters.nir.unrolled import OUTPUT, input_of, step_name, unroll
from asnn.exporters.onnx.forms import build_models
from asnn.exporters.onnx.runtime import OnnxSession, run_stream
from asnn.exporters.verification.compare import compare, samples_at_once
from asnn.exporters.verification.parity import near_threshold
from asnn.exporters.verification.simulators import MOST_NODES, SIMULATORS
from asnn.inspection import inspect
from asnn.models.layers.attention import SelfAttention
from asnn.models.layers.convolution import SpikeConv2d
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.layers.stem import Stem
from asnn.models.saved import save_model
from tests.support.exported_networks import SHAPE, images, network, samples, spikes_of, subject

pytestmark = pytest.mark.slow

LARGE = (2, 16, 16)
EAGER = {"threshold": 0.3}
NETWORKS = {
    "ms": ("ms-resnet", {}),
    "ms-19": ("ms-resnet", {"depth": 19, "width": 4}),
    "ms-imagenet": ("ms-resnet", {"stem": "imagenet", "shape": LARGE}),
    "sew-add": ("sew-resnet", {"connect": "add"}),
    # A product has fewer spikes than what it is made of.
    "sew-and": ("sew-resnet", {"connect": "and", "width": 8, "neuron_options": EAGER}),
    "sew-iand": ("sew-resnet", {"connect": "iand", "width": 8, "neuron_options": EAGER}),
    "sew-imagenet": ("sew-resnet", {"stem": "imagenet", "shape": LARGE}),
    "vgg-11": ("vgg", {"variant": "11", "hidden": [8]}),
    "vggsnn": ("vgg", {"variant": "vggsnn"}),
    "spikformer": ("spikformer", {}),
}
DEEP = {
    "ms-34": ("ms-resnet", {"depth": 34, "width": 4}),
    "ms-104": ("ms-resnet", {"depth": 104, "width": 3, "stem": "imagenet", "shape": (2, 32, 32)}),
    "sew-34": ("sew-resnet", {"depth": 34, "width": 4}),
}
PRODUCTS = ("sew-and", "sew-iand", "spikformer")
ADDED = [name for name in NETWORKS if name not in PRODUCTS]


def of(name, *, steps=2, coding="hybrid", norm="folded", **neuron_options):
    """A subject, and samples that fit it."""
    return _of(name, steps, coding, norm, tuple(neuron_options.items()))


@functools.cache
def _of(name, steps, coding, norm, neuron_options):
    architecture, own = {**NETWORKS, **DEEP}[name]
    neuron_options = {**own.get("neuron_options", {}), **dict(neuron_options)}
    own = {**own, "neuron_options": neuron_options}
    if neuron_options.get("reset") == "zero":
        own["output_scale"] = False
    found = subject(architecture, steps=steps, coding=coding, norm=norm, quick=True, **own)
    return found, samples(8, own.get("shape", SHAPE))


def layers_of(model, kind):
    return [name for name, module in model.body.named_modules() if isinstance(module, kind)]


def agreed(out, some):
    """Hold the graph to torch, layer by layer, where every layer fires; return its trace."""
    report = compare(out, some, [])
    assert report.fault is None
    assert report.parities[0].explained <= 1
    trace = run(out.graph, out.encode(some.images))
    spikes_of(trace, out.graph)
    return trace


class TestGraph:
    """The graph against torch."""

    @pytest.mark.parametrize("norm", ["folded", "per-step"])
    @pytest.mark.parametrize("coding", ["direct", "hybrid"])
    @pytest.mark.parametrize("name", NETWORKS)
    def test_it_computes_what_the_network_does(self, name, coding, norm):
        granularity = "layer" if norm == "folded" else "channel"
        agreed(*of(name, coding=coding, norm=norm, granularity=granularity))

    @pytest.mark.parametrize("name", DEEP)
    def test_deep_networks(self, name):
        agreed(*of(name))

    @pytest.mark.parametrize("name", NETWORKS)
    def test_layers_are_called_as_in_the_network(self, name):
        architecture, own = NETWORKS[name]
        model = network(architecture, steps=2, **own)
        graph = freeze_network(model)
        names = [node.name for node in graph.nodes]
        assert len(set(names)) == len(names)
        assert [node.name for node in graph.neurons] == layers_of(model, SpikingLayer)

    def test_norms_are_folded_wherever_they_stand(self):
        for name in NETWORKS:
            nodes = of(name)[0].graph.nodes
            scales = [node.name for node in nodes if isinstance(node, ChannelScale)]
            assert scales == ["normalise"], name

    def test_a_norm_behind_nothing_affine_is_a_scale(self):
        model = network("ms-resnet", steps=2)
        model.body.block2.main = nn.Sequential(model.body.block2.main.norm)
        graph = freeze_network(model)
        scale = next(node for node in graph.nodes if node.name == "block2.main.0")
        assert isinstance(scale, ChannelScale)
        with torch.no_grad():
            expected = model(images()).numpy()
        found = run(graph, model.coding.encode(images()).numpy()).logits
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_what_meets_in_a_block(self):
        kinds = {"sew-add": Add, "sew-and": Product, "sew-iand": Product}
        for name, kind in kinds.items():
            graph = of(name)[0].graph
            same, other = (
                next(node for node in graph.nodes if node.name == block)
                for block in ("block1", "block3")
            )
            assert type(same) is kind
            assert same.inputs == ("block1.main.spikes2", "spikes")
            assert other.inputs == ("block3.main.spikes2", "block3.shortcut.spikes")
            assert getattr(same, "inverted", False) == (name == "sew-iand")
            assert graph.is_binary("block8") == (kind is Product)

    @pytest.mark.parametrize("steps", [2, 4])
    def test_each_kind_of_step_has_its_own_stem(self, steps):
        """All convolutions of a deep stem, not the last alone, are those of the step's kind."""
        model = network("vgg", steps=steps)
        layers = [(2, 5), (5, 6), (6, 6)]

        def make():
            return nn.Sequential(*(SpikeConv2d(i, o, 3, padding=1) for i, o in layers))

        model.body.conv1 = Stem(model.coding, make, mean=[0.4, 0.5], std=[0.3, 0.2])
        graph = freeze_network(model)
        convolutions = [node for node in graph.nodes if isinstance(node, Conv)][:3]
        assert [node.name for node in convolutions] == ["conv1.conv2d1", "conv1.conv2d2", "conv1"]
        assert all(len(node.weights) == 2 for node in convolutions)
        with torch.no_grad():
            expected = model(images()).numpy()
        found = run(graph, model.coding.encode(images()).numpy()).logits
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_stems_that_differ_in_kind_are_refused(self):
        model = network("vgg", steps=2)
        model.body.conv1.analog.stride = (2, 2)
        with pytest.raises(ConfigError, match="its windows differ from step to step"):
            freeze_network(model)
        model.body.conv1.analog = nn.Identity()
        with pytest.raises(ConfigError, match="layers of different kinds"):
            freeze_network(model)
        model.body.conv1.analog = nn.Sequential(SpikeConv2d(2, 6, 3))
        model.body.conv1.spikes = nn.Sequential(SpikeConv2d(2, 6, 3), nn.Identity())
        with pytest.raises(ConfigError, match="different numbers of layers"):
            freeze_network(model)

    @pytest.mark.parametrize(("heads", "channels"), [(1, 4), (2, 4), (4, 4), (3, 12)])
    def test_attention_is_its_formula(self, heads, channels):
        rng = np.random.default_rng(0)
        x = rng.integers(0, 2, (2, 3, 3 * channels, 2, 5)).astype(np.float32)
        found = attention(x, heads, np.float32(0.25))
        part = channels // heads
        for t in range(2):
            for b in range(3):
                q, k, v = x[t, b].reshape(3, heads, part, 10)
                for head in range(heads):
                    scores = q[head].T @ k[head]  # [N, N]
                    own = found[t, b].reshape(heads, part, 10)[head]
                    np.testing.assert_array_equal(own.T, 0.25 * scores @ v[head].T)
        torch.testing.assert_close(
            torch.from_numpy(found), SelfAttention(heads, 0.25)(torch.from_numpy(x)), rtol=0, atol=0
        )

    @pytest.mark.parametrize(
        ("inverted", "expected"), [(False, [0, 0, 0, 1]), (True, [0, 1, 0, 0])]
    )
    def test_products_are_their_truth_tables(self, inverted, expected):
        a, b = np.float32([[[0, 0, 1, 1]], [[0, 1, 0, 1]]])[:, None]
        node = Product(name="p", inputs=("a", "b"), inverted=inverted)
        assert evaluate(node, [a, b]).ravel().tolist() == expected

    @pytest.mark.parametrize(
        ("node", "message"),
        [
            (
                Attention(name="a", inputs=("input",), heads=4, scale=1.0),
                "channels that 12 divides",
            ),
            (Product(name="a", inputs=("input",)), "two inputs"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, node, message):
        with pytest.raises(ConfigError, match=message):
            assert Graph((node,), (9, 4, 4), 1).shapes

    def test_few_samples_at_once_where_layers_are_large(self):
        shape = (64, 224, 224)
        graph = of("ms")[0].graph
        assert samples_at_once(graph) == 64
        node = Pool(name="a", inputs=("input",), kind="max", kernel=(1, 1), stride=(1, 1))
        # 2 values · 64 · 224² · 4 steps · 4 bytes, thrice: 308 MB of 1 GiB
        assert samples_at_once(Graph((node,), shape, 4)) == 3
        assert samples_at_once(Graph((node,), shape, 40)) == 1


def session_of(model):
    return OnnxSession(model.SerializeToString(), threads=1)


def same_where_clear(found, graph, trace):
    """Hold logits to a graph's, of samples without a membrane within rounding of a threshold."""
    clear = ~near_threshold(graph, trace)
    assert clear.sum() >= 6
    np.testing.assert_allclose(found[:, clear], trace.logits[:, clear], atol=1e-5)


class TestOnnx:
    """Files of ONNX."""

    @pytest.mark.parametrize("name", NETWORKS)
    def test_files_are_verified(self, tmp_path, name):
        out, some = of(name)
        report = export_onnx(out, tmp_path, samples=some).report
        assert report.fault is None
        assert all(report.spikes.values())
        told = report.parities[1].mismatches
        assert list(told) == [node.name for node in out.graph.neurons]

    @pytest.mark.parametrize("name", DEEP)
    def test_deep_networks(self, tmp_path, name):
        out, some = of(name)
        assert export_onnx(out, tmp_path, samples=some).report.fault is None

    @pytest.mark.parametrize("weights", ["fp32", "fp16", "int8"])
    @pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
    @pytest.mark.parametrize("coding", ["direct", "hybrid"])
    @pytest.mark.parametrize("name", ["ms", "sew-iand", "spikformer"])
    def test_forms_compute_what_the_graph_does(self, name, coding, form, weights):
        out, some = of(name, coding=coding)
        graph = with_rounded_weights(out.graph, weights)
        code = np.ascontiguousarray(out.encode(some.images))
        trace = run(graph, code)
        models = build_models(out.graph, out.coding, form=form, weights=weights)
        inputs = {"image": some.images, "count": np.array([len(code)])}
        if form == "stream":
            found = run_stream(*map(session_of, models.values()), inputs, len(code))["logits"]
        else:
            session = session_of(models["model"])
            found = session.run({key: inputs[key] for key in session.inputs})["logits_per_step"]
        same_where_clear(found, graph, trace)

    @pytest.mark.parametrize("opset", [17, 25])
    @pytest.mark.parametrize("name", ["sew-iand", "spikformer"])
    def test_opsets(self, name, opset):
        out, some = of(name)
        session = session_of(build_models(out.graph, out.coding, opset=opset)["model"])
        found = session.run({"image": some.images})["logits_per_step"]
        same_where_clear(found, out.graph, run(out.graph, out.encode(some.images)))

    def test_the_batch_is_free(self):
        out, some = of("spikformer")
        session = session_of(build_models(out.graph, out.coding)["model"])
        together = session.run({"image": some.images})["logits"]
        one = session.run({"image": some.images[2:3]})["logits"]
        np.testing.assert_allclose(one, together[2:3], atol=1e-5)
        assert session.run({"image": some.images[:0]})["logits"].shape == (0, 4)

    def test_a_still_value_meets_one_that_is_not(self):
        """A static code is computed once, and serves all steps of a sum and of a product."""
        graph = of("ms", coding="direct")[0].graph
        assert {"stem"} <= graph.still
        assert "block1" not in graph.still
        nodes = [
            Product(name="product", inputs=("input", "scaled"), inverted=True),
            Flatten(name="flatten", inputs=("product",)),
            Readout(
                name="readout", inputs=("flatten",), weight=np.eye(2, 12, dtype=np.float32),
                bias=np.zeros(2, np.float32), scale=np.ones(2, np.float32),
            ),
        ]  # fmt: skip
        schedule = np.float32([[1, 1, 1], [2, 2, 2]])
        scaled = ChannelScale(
            name="scaled", inputs=("input",), factor=schedule, offset=np.zeros_like(schedule)
        )
        out, _ = of("ms", coding="direct")
        small = Graph((scaled, *nodes), (3, 2, 2), 2, static=True)
        x = np.random.default_rng(0).random((5, 3, 2, 2), np.float32)
        session = session_of(build_models(small, out.coding)["model"])
        found = session.run({"image": x})["logits_per_step"]
        expected = np.stack([(1 - x) * x * factor for factor in (1, 2)]).reshape(2, 5, 12)
        np.testing.assert_allclose(found, expected[..., :2], atol=1e-6)


class TestNir:
    """Files of NIR."""

    @pytest.mark.parametrize("style", ["pure", "portable"])
    @pytest.mark.parametrize("name", ADDED)
    def test_unrolled_networks_compute_what_the_graph_does(self, name, style):
        out, some = of(name)
        code = out.encode(some.images)
        trace = run(out.graph, code)
        found = run_nir(unroll(out.graph, style, {}), input_of(out.graph, code)[None])
        np.testing.assert_allclose(found[OUTPUT][0], trace.logits.mean(0), atol=1e-5)
        for node in out.graph.neurons:
            for t in range(out.graph.steps):
                spikes = found[step_name(out.graph, node.name, t)][0]
                np.testing.assert_array_equal(spikes, trace.values[node.name][t])

    @pytest.mark.parametrize("name", ADDED)
    def test_files_are_verified_in_simulators(self, tmp_path, name):
        out, some = of(name)
        report = export_nir(out, tmp_path, samples=some).report
        assert report.fault is None
        asked = {parity.runtime for parity in report.parities}
        there = {each.name for each in SIMULATORS.values() if each.version and each.name != "norse"}
        assert asked == {"torch", "numpy, from the file", *there}

    @pytest.mark.parametrize("name", DEEP)
    def test_deep_networks(self, tmp_path, name):
        out, some = of(name)
        result = export_nir(out, tmp_path, samples=some)
        assert result.report.fault is None
        nodes = len(nir.read(tmp_path / "model.nir").nodes)
        long = [note for note in result.notes if "its importer would take long" in note]
        assert len(long) == (2 if nodes > MOST_NODES else 0)

    def test_long_imports_are_for_those_who_ask(self, tmp_path, monkeypatch):
        out, some = of("vggsnn", steps=1, coding="direct")
        monkeypatch.setattr(exporting, "MOST_NODES", 3)
        result = export_nir(out, tmp_path, samples=some)
        assert [p.runtime for p in result.report.parities] == ["torch", "numpy, from the file"]
        for name in ("snntorch", "spikingjelly"):
            if SIMULATORS[name].version is None:
                continue
            assert any(f"--target {name} asks it" in note for note in result.notes)
            report = export_nir(out, tmp_path, samples=some, target=name).report
            assert report.parities[-1].runtime == name
            assert report.fault is None

    @pytest.mark.parametrize("importer", [None, "snntorch", "spikingjelly", "norse"])
    @pytest.mark.parametrize("name", ["ms", "sew-add", "vgg-11"])
    def test_plain_networks_are_one_lif_neuron_a_layer(self, tmp_path, name, importer):
        out, some = of(name, steps=3, coding="temporal", schedule="shared", reset="zero")
        if importer is not None and SIMULATORS[importer].version is None:
            pytest.skip(f"{importer} is not installed")
        result = export_nir(out, tmp_path, samples=some, form="lif")
        assert result.report.fault is None
        assert all(result.report.spikes.values())
        read = nir.read(tmp_path / "model.nir")
        neurons = [key for key, node in read.nodes.items() if isinstance(node, nir.LIF)]
        assert {node.name for node in out.graph.neurons} <= set(neurons)
        if importer == "norse":
            assert name == "vgg-11" or "norse" not in [p.runtime for p in result.report.parities]
        elif importer is not None:
            assert importer in [parity.runtime for parity in result.report.parities]

    def test_sums_are_in_edges(self):
        """Of two nodes each, so that every reader adds the same floats."""
        graph = of("ms")[0].graph
        sketch = unroll(graph, "pure", {})
        sources: dict = {}
        for source, target in sketch.edges:
            sources.setdefault(target, []).append(source)
        assert all(len(names) <= 2 for name, names in sources.items() if name != "mean_logits")
        assert sources["block1_t0"] == ["block1.main.conv2_t0", "stem_t0"]
        assert sources["block2_t1"] == ["block2.main.conv2_t1", "block1_t1"]
        # What one neuron alone reads needs no node: the neuron's first scale has both edges.
        assert not any(name.startswith("block8_t") for name in sketch.nodes)
        assert sources["spikes_t0_gain"] == ["block8.main.conv2_t0", "block7_t0"]

    @pytest.mark.parametrize("importer", [None, "snntorch", "spikingjelly"])
    @pytest.mark.parametrize(
        "sums",
        [
            [("sum", ("a", "b"))],  # in front of weights
            [("sum", ("a", "a"))],  # twice itself
            [("sum", ("a", "b", "c"))],
            [("sum", ("a", "b", "a", "a"))],
            [("first", ("a", "b")), ("sum", ("first", "c"))],
            [("first", ("a", "b")), ("sum", ("first", "first"))],
            [("first", ("a", "b")), ("other", ("first", "c")), ("sum", ("first", "other"))],
        ],
        ids=lambda sums: " ".join("+".join(inputs) for _, inputs in sums),
    )
    def test_sums_of_every_shape(self, tmp_path, sums, importer):
        rng = np.random.default_rng(0)

        def linear(name, source, features):
            return Linear(
                name=name, inputs=(source,),
                weights=(rng.standard_normal((5, features), np.float32),),
                biases=(rng.standard_normal(5).astype(np.float32),), of_step=(0, 0),
            )  # fmt: skip

        read = {name for _, inputs in sums for name in inputs}
        graph = Graph(
            (
                *(linear(name, "input", 3) for name in "abc" if name in read),
                *(Add(name=name, inputs=inputs) for name, inputs in sums),
                linear("weights", "sum", 5),
                Readout(
                    name="readout", inputs=("weights",), weight=np.eye(5, dtype=np.float32),
                    bias=np.zeros(5, np.float32), scale=np.float32([1, 2]),
                ),
            ),
            (3,), 2,
        )  # fmt: skip
        code = rng.random((2, 4, 3), np.float32)
        steps = input_of(graph, code)[None]
        sketch = unroll(graph, "portable", {})
        if importer is None:
            found = run_nir(sketch, steps)[OUTPUT][0]
        else:
            if SIMULATORS[importer].version is None:
                pytest.skip(f"{importer} is not installed")
            nir.write(tmp_path / "a.nir", sketch)
            found = SIMULATORS[importer].open(tmp_path / "a.nir").run(steps)[0]
        np.testing.assert_allclose(found, run(graph, code).logits.mean(0), atol=1e-5)

    def test_importers_leave_out_the_padding_of_a_sum_pool(self):
        graph = of("sew-imagenet")[0].graph
        pool = next(node for node in graph.nodes if isinstance(node, Pool))
        assert pool.padding == (1, 1)
        portable, pure = (unroll(graph, style, {}) for style in ("portable", "pure"))
        assert isinstance(portable.nodes["pool_t0_mean"], nir.AvgPool2d)
        assert isinstance(pure.nodes["pool_t0_sum"], nir.SumPool2d)
        assert not problems(portable, TARGETS["snntorch"])
        sketch = NirBuilder("portable")
        sketch.add("pool_sum", pure.nodes["pool_t0_sum"])
        for target in TARGETS.values():
            assert "the padding of sum-pool 'pool_sum' would be left out" in problems(
                sketch.finish({}), target
            )

    @pytest.mark.parametrize("form", ["portable", "pure", "lif"])
    @pytest.mark.parametrize(
        ("name", "what", "remedy"),
        [
            ("sew-and", "layer 'block1' multiplies the spikes of two paths", "model.connect=add"),
            ("sew-iand", "layer 'block1' multiplies the spikes of two paths", "--format onnx"),
            (
                "spikformer",
                "layer 'attention1.main.attention' multiplies queries, keys and values",
                "use --format onnx",
            ),
        ],
    )
    def test_products_are_refused(self, tmp_path, name, what, remedy, form):
        out, some = of(name)
        with pytest.raises(ConfigError, match=what) as refused:
            export_nir(out, tmp_path / "new" / "a.nir", samples=some, form=form, approximate=True)
        assert "a product of two signals, and NIR has no node for one" in refused.value.why
        assert remedy in refused.value.remedy
        assert not list(tmp_path.iterdir())


class TestControls:
    """What is wrong with a file is found, and where."""

    def tampered(self, monkeypatch, constant, by):
        genuine = exporting.build_models

        def build(*arguments, **options):
            models = genuine(*arguments, **options)
            for initializer in models["model"].graph.initializer:
                if initializer.name == constant:
                    values = numpy_helper.to_array(initializer).copy()
                    values.reshape(-1)[0] += by
                    initializer.CopyFrom(numpy_helper.from_array(values, constant))
                    return models
            raise AssertionError(f"no constant {constant}")

        monkeypatch.setattr(exporting, "build_models", build)

    @pytest.mark.parametrize(
        ("name", "constant", "layer"),
        [
            ("ms", "block3.shortcut.conv.weight", "block3.shortcut.conv"),
            ("sew-add", "block3.shortcut.conv.bias", "block3.shortcut.conv"),
            ("spikformer", "attention1.main.attention.scale", "attention1.main.spikes_attention"),
            ("spikformer", "mlp2.main.linear1.weight", "mlp2.main.linear1"),
            ("vggsnn", "conv2.weight", "conv2"),
        ],
    )
    def test_a_changed_constant_is_named(self, tmp_path, monkeypatch, name, constant, layer):
        out, some = of(name)
        self.tampered(monkeypatch, constant, 0.5)
        with pytest.raises(VerificationError) as refused:
            export_onnx(out, tmp_path, samples=some)
        assert f"layer {layer}, step 0" in refused.value.why

    @pytest.mark.parametrize(
        ("edge", "layer"),
        [
            (("stem_t1", "block1_t1"), "block2.main.spikes1, step 1"),
            (("block7_t0", "spikes_t0_gain"), "layer spikes, step 0"),
        ],
    )
    def test_a_missing_in_edge_is_found(self, tmp_path, monkeypatch, edge, layer):
        genuine = exporting.write_nir

        def write(path, graph, **options):
            graph.edges.remove(edge)
            genuine(path, graph, **options)

        monkeypatch.setattr(exporting, "write_nir", write)
        monkeypatch.setattr(exporting, "MOST_NODES", 0)
        out, some = of("ms")
        with pytest.raises(VerificationError) as refused:
            export_nir(out, tmp_path, samples=some)
        assert layer in refused.value.why

    def test_a_product_taken_for_another_is_found(self, tmp_path):
        (out, some), (other, _) = of("sew-and"), of("sew-iand")
        export_onnx(out, tmp_path / "and.onnx", samples=None)
        assert verify(out, tmp_path / "and.onnx", some).fault is None
        swapped = out.with_graph(other.graph)
        assert "layer block" in str(verify(swapped, tmp_path / "and.onnx", some).fault)

    def test_a_shortcut_of_the_network_that_changed_is_found(self):
        out, some = of("ms")
        node = next(n for n in out.graph.nodes if n.name == "block3.shortcut.conv")
        assert isinstance(node, Conv)
        changed = Conv(**{**vars(node), "weights": tuple(w * 1.5 for w in node.weights)})
        report = compare(out.with_graph(out.graph.with_nodes({node.name: changed})), some, [])
        assert "layer block4.main.spikes1, step 0" in str(report.fault)


def test_weights_in_a_file_are_of_the_layers_by_name():
    model = build_models(of("ms")[0].graph, of("ms")[0].coding)["model"]
    assert isinstance(model, onnx.ModelProto)
    names = {initializer.name for initializer in model.graph.initializer}
    assert {"block1.main.conv1.weight", "block3.shortcut.conv.weight", "stem.weight0"} <= names


@pytest.mark.parametrize("name", ["ms", "sew-add", "vgg-11", "spikformer"])
def test_layers_and_schedules_within_blocks_are_shown_by_name(tmp_path, name):
    architecture, own = NETWORKS[name]
    model = network(architecture, steps=2, **own)
    save_model(tmp_path / "model.safetensors", model)
    (tmp_path / "config.toml").write_text('name = "test"\n')
    about = inspect(tmp_path)
    neurons = layers_of(model, SpikingLayer)
    assert set(about["schedules"]) == {*neurons, "readout"}
    told = {layer["name"]: layer["parameters"] for layer in about["layers"]}
    assert set(neurons) < set(told)
    for layer in neurons:
        module = model.body.get_submodule(layer)
        assert told[layer] == sum(value.numel() for value in module.parameters())
    assert sum(told.values()) == sum(value.numel() for value in model.parameters())


@pytest.mark.parametrize(
    "neuron, options",
    [
        ("fixed", {}),
        ("adaptive", {"learn_threshold": True, "learn_reset_size": True}),
        ("relu", {}),
    ],
)
def test_inspect_counts_what_a_neuron_learns_and_nothing_else(tmp_path, neuron, options):
    model = network("ms-resnet", steps=2, neuron=neuron, neuron_options=options, width=6)
    save_model(tmp_path / "model.safetensors", model)
    (tmp_path / "config.toml").write_text('name = "test"\n')
    learned = sum(value.numel() for value in model.parameters())
    assert inspect(tmp_path)["parameters"] == learned
