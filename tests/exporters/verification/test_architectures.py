"""Negative controls in networks with paths that join: a change is found, and its layer named."""

import pytest
from onnx import numpy_helper

from asnn.core.errors import VerificationError
from asnn.exporters import export_nir, export_onnx, verify
from asnn.exporters.graph.ir import Conv
from asnn.exporters.nir import export as nir_export
from asnn.exporters.onnx import export as onnx_export
from asnn.exporters.verification.compare import compare
from tests.support.exported_networks import architecture_source


def tampered(monkeypatch, initializer, by):
    """Change the first value of an initializer before the model is written."""
    genuine = onnx_export.build_models

    def build(*arguments, **options):
        models = genuine(*arguments, **options)
        for each in models["model"].graph.initializer:
            if each.name == initializer:
                values = numpy_helper.to_array(each).copy()
                values.reshape(-1)[0] += by
                each.CopyFrom(numpy_helper.from_array(values, initializer))
                return models
        raise AssertionError(f"no initializer {initializer}")

    monkeypatch.setattr(onnx_export, "build_models", build)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "initializer", "layer"),
    [
        ("ms", "block3.shortcut.conv.weight", "block3.shortcut.conv"),
        ("sew-add", "block3.shortcut.conv.bias", "block3.shortcut.conv"),
        ("spikformer", "attention1.main.attention.scale", "attention1.main.spikes_attention"),
        ("spikformer", "mlp2.main.linear1.weight", "mlp2.main.linear1"),
        ("vggsnn", "conv2.weight", "conv2"),
    ],
)
def test_a_changed_initializer_is_named(tmp_path, monkeypatch, name, initializer, layer):
    source, some = architecture_source(name)
    tampered(monkeypatch, initializer, 0.5)
    with pytest.raises(VerificationError) as refused:
        export_onnx(source, tmp_path, samples=some)
    assert f"layer {layer}, step 0" in refused.value.why


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edge", "layer"),
    [
        (("stem_t1", "block1_t1"), "block2.main.spikes1, step 1"),
        (("block7_t0", "spikes_t0_gain"), "layer spikes, step 0"),
    ],
)
def test_a_missing_edge_is_found(tmp_path, monkeypatch, no_simulators, edge, layer):
    genuine = nir_export.write_nir

    def write(path, graph, **options):
        graph.edges.remove(edge)
        genuine(path, graph, **options)

    monkeypatch.setattr(nir_export, "write_nir", write)
    source, some = architecture_source("ms")
    with pytest.raises(VerificationError) as refused:
        export_nir(source, tmp_path, samples=some)
    assert layer in refused.value.why


@pytest.mark.slow
def test_another_product_is_found(exported):
    (source, some), (other, _) = architecture_source("sew-and"), architecture_source("sew-iand")
    path = exported("onnx", source, None).folder / "model.onnx"
    assert verify(source, path, some).verified
    swapped = source.with_graph(other.graph)
    assert "layer block" in str(verify(swapped, path, some, structure=False).fault)


def test_a_changed_shortcut_of_the_network_is_found():
    source, some = architecture_source("ms")
    node = next(n for n in source.graph.nodes if n.name == "block3.shortcut.conv")
    assert isinstance(node, Conv)
    changed = Conv(**{**vars(node), "weights": tuple(w * 1.5 for w in node.weights)})
    graph = source.graph.with_nodes({node.name: changed})
    report = compare(source.with_graph(graph), some, [])
    assert "layer block4.main.spikes1, step 0" in str(report.fault)
