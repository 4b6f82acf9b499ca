"""The structure of a file against what the exporter writes: what running it cannot see is found."""

import copy
import json

import nir
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from asnn.core.errors import DataError
from asnn.exporters import export_nir, export_onnx, verify
from asnn.exporters.nir import export as nir_export
from asnn.exporters.nir.file import write_nir
from asnn.exporters.onnx import export as onnx_export
from asnn.exporters.onnx.forms import build_models
from asnn.exporters.onnx.operators import OPERATORS, check_operators
from asnn.exporters.verification.structure import nir_differences, onnx_differences
from asnn.formats.onnx import graphs
from tests.support.exported_networks import CODES, make_source, samples
from tests.support.recurrent_networks import recurrent_source


@pytest.fixture(scope="module")
def model():
    source = make_source()
    return build_models(source.graph, source.coding)["model"]


def differences(model, change):
    other = copy.deepcopy(model)
    for entry in (other.metadata_props.add(), model.metadata_props.add()):
        entry.key, entry.value = "verification", "skipped"
    change(other)
    found = onnx_differences({"model": model}, {"model": other})
    model.metadata_props.pop()
    return found


def metadata(key, value):
    def change(model):
        for entry in model.metadata_props:
            if entry.key == key:
                entry.value = value

    return change


def weight(model):
    tensor = next(each for each in model.graph.initializer if each.name == "conv2.weight")
    values = numpy_helper.to_array(tensor).copy()
    values[3, 2, 1, 1] = np.nextafter(values[3, 2, 1, 1], np.float32(9))
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def attribute(model):
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    next(each for each in node.attribute if each.name == "pads").ints[0] += 1


CHANGES = [
    (lambda model: None, None),
    (metadata("classes", '["b", "a"]'), "metadata 'classes' is"),
    (metadata("steps", "8"), "metadata 'steps' is '8', not '3'"),
    (metadata("verification", "verified by us"), "'verified by us', which asnn does not write"),
    (metadata("asnn", "99"), "metadata 'asnn' is '99', not a version"),
    (metadata("asnn", "0.1.0"), None),  # an older one that writes the same
    (weight, r"initializer 'conv2.weight' differs in 1 values, first at \[3, 2, 1, 1\]"),
    (attribute, "attribute 'pads' differs"),
    (lambda m: setattr(m.opset_import[0], "version", 19), "its opsets are"),
    (lambda m: m.graph.node[3].input.reverse(), "its inputs are"),
    (lambda m: m.graph.node.pop(), "nodes, not"),
    (lambda m: m.graph.output.pop(), "outputs differ: without 'logits_per_step'"),
    (lambda m: setattr(m.graph.node[0], "name", "other"), "its name is 'other'"),
    (lambda m: setattr(m, "doc_string", ""), "doc_string is ''"),
    (lambda m: m.functions.add(name="f"), "it has functions"),
]


@pytest.mark.parametrize(("change", "found"), CHANGES)
def test_a_change_is_named_with_its_place(model, change, found):
    import re

    texts = differences(model, change)
    if found is None:
        assert texts == []
    else:
        assert any(re.search(found, text) for text in texts), texts


def test_the_body_of_a_scan_is_compared():
    source = make_source()
    models = build_models(source.graph, source.coding, form="scan")
    other = copy.deepcopy(models["model"])
    scan = next(node for node in other.graph.node if node.op_type == "Scan")
    body = next(each.g for each in scan.attribute if each.name == "body")
    body.node[2].op_type = "Sub"
    texts = onnx_differences(models, {"model": other})
    assert any("node" in text and "op_type is 'Sub'" in text for text in texts), texts


def test_a_file_that_differs_is_not_run(tmp_path, monkeypatch):
    source = make_source()
    path = next(iter(export_onnx(source, tmp_path, samples=None).files))
    assert verify(source, path, samples()).verified
    changed = onnx.load(path)
    metadata("classes", "[]")(changed)
    onnx.save(changed, path)
    monkeypatch.setattr(onnx_export, "verify_onnx", lambda *_, **__: pytest.fail("it was run"))
    report = verify(source, path, samples())
    assert report.parities == [] and "metadata 'classes'" in report.fault


def test_what_running_cannot_see_passes_without_the_structure(tmp_path):
    """A negative control of the comparison of structures."""
    source = make_source()
    path = next(iter(export_onnx(source, tmp_path, samples=None).files))
    changed = onnx.load(path)
    metadata("classes", "[]")(changed)
    onnx.save(changed, path)
    assert verify(source, path, samples(), structure=False).verified


@pytest.mark.slow
def test_outputs_beside_the_answer_and_a_batch_of_one_are_compared(tmp_path):
    source = make_source()
    path = next(iter(export_onnx(source, tmp_path, samples=None).files))
    content = path.read_bytes()
    zero = onnx.load_from_string(content)
    node = next(n for n in zero.graph.node if n.output[0] == "logits_per_step")
    sums = next(n for n in zero.graph.node if "logits_per_step" in n.input)
    sums.input[0] = node.input[0]
    node.op_type = "Mul"
    node.input.append("none_of_it")
    zero.graph.initializer.append(numpy_helper.from_array(np.float32(0), "none_of_it"))
    path.write_bytes(zero.SerializeToString())
    assert (
        "logits_per_step: values differ" in verify(source, path, samples(), structure=False).fault
    )
    single = onnx.load_from_string(content)
    last = next(n for n in single.graph.node if n.output[0] == "logits")
    last.output[0] = "before"
    for name, value in (("first", np.int64(0)), ("one", np.int64(1))):
        single.graph.initializer.append(numpy_helper.from_array(value, name))
    make = onnx.helper.make_node
    single.graph.node.extend(
        [
            make("Shape", ["before"], ["shape"]),
            make("Gather", ["shape", "first"], ["number"]),
            make("Equal", ["number", "one"], ["is_one"]),
            make("Cast", ["is_one"], ["added"], to=1),
            make("Add", ["before", "added"], ["logits"]),
        ]
    )
    path.write_bytes(single.SerializeToString())
    assert "the logits differ by up to 1" in verify(source, path, samples(), structure=False).fault


NIR_CHANGES = [
    (lambda g: None, None),
    (lambda g: g.metadata.update(dt=1e-3), "metadata 'dt' is '0.001'"),
    (
        lambda g: setattr(g.nodes["conv2_t1"], "weight", g.nodes["conv2_t1"].weight + 1),
        "its weight",
    ),
    (lambda g: g.edges.pop(4), "its edges differ"),
    (lambda g: g.nodes.pop("output"), "it is without node 'output'"),
    (lambda g: g.nodes.update(more=nir.Scale(np.ones(1))), "it is with node 'more'"),
    (lambda g: g.nodes.update(conv2_t1=nir.Scale(np.ones(1))), "is a Scale, not a Conv2d"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("change", "found"), NIR_CHANGES)
def test_a_change_of_a_nir_graph_is_named(tmp_path, change, found):
    source = make_source()
    export_nir(source, tmp_path, samples=None)
    expected = nir_export._nir_graph(source.graph, "portable", False)
    read = nir_export.read_nir(tmp_path / "model.nir")
    change(read)
    texts = nir_differences(expected, read)
    assert texts == [] if found is None else any(found in text for text in texts), texts


@pytest.mark.slow
def test_a_changed_nir_file_is_found(tmp_path):
    source = make_source()
    export_nir(source, tmp_path, samples=None)
    path = tmp_path / "model.nir"
    assert verify(source, path, samples(4)).verified
    read = nir_export.read_nir(path)
    read.metadata["steps"] = 8
    write_nir(path, read)
    assert "metadata 'steps' is '8'" in verify(source, path, samples(4)).fault


@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
def test_all_operators_that_are_written_may_be_run(form):
    sources = [make_source(coding=code) for code in CODES]
    sources += [make_source(coding="latency")]
    sources += [recurrent_source(name)[0] for name in ("rsnn", "lstm")]
    written = set()
    for source in sources:
        models = build_models(source.graph, source.coding, form=form, input="spikes")
        both = [*models.values()]
        if source.takes_images:
            both += build_models(source.graph, source.coding, form=form).values()
        check_operators(both)
        written |= {node.op_type for m in both for g in graphs(m) for node in g.node}
    assert written <= OPERATORS


def test_other_operators_are_not_run():
    loop = onnx.helper.make_node("Loop", [], [], name="x")
    other = onnx.helper.make_node("Add", [], [], name="y", domain="elsewhere")
    graph = onnx.helper.make_graph([loop, other], "g", [], [])
    with pytest.raises(DataError, match="Loop, elsewhere.Add"):
        check_operators([onnx.helper.make_model(graph)])


def test_the_report_has_it(tmp_path):
    export_onnx(make_source(), tmp_path, samples=samples())
    content = json.loads(next(tmp_path.glob("*parity.json")).read_text())
    assert content["structure"] == []
    driven = content["driven"]
    assert driven["first_difference"] is None and driven["layers"] >= 9
    for shares in driven["neurons"].values():
        assert shares == {"fired": 1.0, "silent": 1.0}
