"""Networks with paths that join, and a deep one, as NIR files."""

import nir
import numpy as np
import pytest

from asnn.core.errors import ConfigError
from asnn.exporters import export_nir
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Add, Graph, Linear, Pool, Readout
from asnn.exporters.nir import export as nir_export
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.nir.nodes import NirBuilder
from asnn.exporters.nir.targets import TARGETS, problems
from asnn.exporters.nir.unrolled import OUTPUT, input_of, step_name, unroll
from asnn.exporters.verification.simulators import MAX_NODES, SIMULATORS
from tests.support.exported_networks import (
    WITHOUT_PRODUCTS,
    architecture_source,
    make_source,
    samples,
)

SUMS = [
    [("sum", ("a", "b"))],  # before weights
    [("sum", ("a", "a"))],  # of equal values
    [("sum", ("a", "b", "c"))],
    [("sum", ("a", "b", "a", "a"))],
    [("first", ("a", "b")), ("sum", ("first", "c"))],
    [("first", ("a", "b")), ("sum", ("first", "first"))],
    [("first", ("a", "b")), ("other", ("first", "c")), ("sum", ("first", "other"))],
]


@pytest.mark.slow
@pytest.mark.parametrize("style", ["pure", "portable"])
@pytest.mark.parametrize("name", WITHOUT_PRODUCTS)
def test_unrolled_networks_equal_the_graph(name, style):
    source, some = architecture_source(name)
    code = source.encode(some.images)
    trace = run(source.graph, code)
    found = run_nir(unroll(source.graph, style, {}), input_of(source.graph, code)[None])
    np.testing.assert_allclose(found[OUTPUT][0], trace.logits.mean(0), atol=1e-5)
    for node in source.graph.neurons:
        for t in range(source.graph.steps):
            spikes = found[step_name(source.graph, node.name, t)][0]
            np.testing.assert_array_equal(spikes, trace.values[node.name][t])


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_PRODUCTS)
def test_files_are_verified_in_simulators(exported, name):
    source, some = architecture_source(name)
    report = exported("nir", source, some).result.report
    assert report.verified
    runtimes = {parity.runtime for parity in report.parities}
    others = {each.name for each in SIMULATORS.values() if each.version and each.name != "norse"}
    assert runtimes == {"torch", "numpy, from the file", *others}


@pytest.mark.slow
def test_a_deep_network_is_verified(exported, no_simulators):
    report = exported("nir", *architecture_source("ms-34")).result.report
    assert report.verified
    assert report.parities[0].explained <= 1
    assert all(report.spikes.values())


@pytest.mark.slow
def test_slow_importers_are_left_out_for_large_graphs(tmp_path):
    source = make_source("mlp", steps=51, coding="direct")
    result = export_nir(source, tmp_path, samples=samples(4))
    nodes = len(nir.read(tmp_path / "model.nir").nodes)
    assert nodes > MAX_NODES
    assert [p.runtime for p in result.report.parities] == ["torch", "numpy, from the file"]
    slow = [note for note in result.notes if f"would take long for {nodes:,} nodes" in note]
    assert len(slow) == 2


@pytest.mark.slow
def test_a_target_is_run_however_large_the_graph_is(tmp_path, monkeypatch):
    source, some = architecture_source("vggsnn", steps=1, coding="direct")
    monkeypatch.setattr(nir_export, "MAX_NODES", 3)
    result = export_nir(source, tmp_path, samples=some)
    assert [p.runtime for p in result.report.parities] == ["torch", "numpy, from the file"]
    for name in ("snntorch", "spikingjelly"):
        if SIMULATORS[name].version is None:
            continue
        assert any(f"--target {name} runs it" in note for note in result.notes)
        report = export_nir(source, tmp_path, samples=some, target=name).report
        assert report.parities[-1].runtime == name
        assert report.verified


@pytest.mark.slow
@pytest.mark.parametrize("importer", [None, "snntorch", "spikingjelly", "norse"])
@pytest.mark.parametrize("name", ["ms", "sew-add", "vgg-11"])
def test_a_constant_schedule_is_one_lif_node_a_layer(exported, name, importer):
    if importer is not None and SIMULATORS[importer].version is None:
        pytest.skip(f"{importer} is not installed")
    source, some = architecture_source(
        name, steps=3, coding="temporal", schedule="shared", reset="zero"
    )
    export = exported("nir", source, some, form="lif")
    report = export.result.report
    assert report.verified
    assert all(report.spikes.values())
    read = nir.read(export.folder / "model.nir")
    neurons = [key for key, node in read.nodes.items() if isinstance(node, nir.LIF)]
    assert {node.name for node in source.graph.neurons} <= set(neurons)
    runtimes = [parity.runtime for parity in report.parities]
    if importer == "norse":
        assert name == "vgg-11" or "norse" not in runtimes
    elif importer is not None:
        assert importer in runtimes


def test_sums_are_in_edges():
    """Of two nodes each, so that every reader adds the same floats."""
    graph = unroll(architecture_source("ms")[0].graph, "pure", {})
    sources: dict = {}
    for source, target in graph.edges:
        sources.setdefault(target, []).append(source)
    assert all(len(names) <= 2 for name, names in sources.items() if name != "mean_logits")
    assert sources["block1_t0"] == ["block1.main.conv2_t0", "stem_t0"]
    assert sources["block2_t1"] == ["block2.main.conv2_t1", "block1_t1"]
    # A sum that one neuron alone reads has no node: the first scale of the neuron has both edges.
    assert not any(name.startswith("block8_t") for name in graph.nodes)
    assert sources["spikes_t0_gain"] == ["block8.main.conv2_t0", "block7_t0"]


@pytest.mark.parametrize(
    "importer",
    [None, *(pytest.param(name, marks=pytest.mark.slow) for name in ("snntorch", "spikingjelly"))],
)
@pytest.mark.parametrize(
    "sums", SUMS, ids=lambda sums: " ".join("+".join(inputs) for _, inputs in sums)
)
def test_sums_of_every_shape(tmp_path, sums, importer):
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
    unrolled = unroll(graph, "portable", {})
    if importer is None:
        found = run_nir(unrolled, steps)[OUTPUT][0]
    else:
        if SIMULATORS[importer].version is None:
            pytest.skip(f"{importer} is not installed")
        nir.write(tmp_path / "a.nir", unrolled)
        found = SIMULATORS[importer].open(tmp_path / "a.nir").run(steps)[0]
    np.testing.assert_allclose(found, run(graph, code).logits.mean(0), atol=1e-5)


@pytest.mark.slow
def test_portable_max_pools_with_padding_are_average_pools():
    graph = architecture_source("sew-imagenet")[0].graph
    pool = next(node for node in graph.nodes if isinstance(node, Pool))
    assert pool.padding == (1, 1)
    portable, pure = (unroll(graph, style, {}) for style in ("portable", "pure"))
    assert isinstance(portable.nodes["pool_t0_mean"], nir.AvgPool2d)
    assert isinstance(pure.nodes["pool_t0_sum"], nir.SumPool2d)
    assert not problems(portable, TARGETS["snntorch"])
    builder = NirBuilder("portable")
    builder.add("pool_sum", pure.nodes["pool_t0_sum"])
    builder.add("output", nir.Output(output_type={"output": np.array([1, 1, 1])}), "pool_sum")
    for target in TARGETS.values():
        assert "it is wrong for SumPool2d 'pool_sum' with padding" in problems(
            builder.finish({}), target
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
def test_products_are_refused(tmp_path, name, what, remedy, form):
    source, some = architecture_source(name)
    with pytest.raises(ConfigError, match=what) as refused:
        export_nir(source, tmp_path / "new" / "a.nir", samples=some, form=form, approximate=True)
    assert "a product of two signals, and NIR has no node for one" in refused.value.why
    assert remedy in refused.value.remedy
    assert not list(tmp_path.iterdir())
