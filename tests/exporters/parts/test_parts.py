"""A network with an accumulator in two files: what crosses, what they answer, what is refused."""

from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx, source_of
from asnn.exporters.graph.interpreter import run
from asnn.exporters.nir import export as nir_export
from asnn.exporters.nir.export import check_nir
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.nir.unrolled import OUTPUT
from asnn.exporters.onnx.export import check_onnx
from asnn.exporters.onnx.runtime import OnnxSession, run_windows
from asnn.exporters.parts.split import split
from asnn.exporters.prediction.open import open_file
from asnn.exporters.source import Samples, random_samples
from asnn.formats.nir import read_nir
from asnn.models import create_model
from studies.mutations import trial_of_onnx
from tests.support.exported_networks import make_source

PAGE = Path(__file__).parents[3] / "docs" / "hybrid.md"
SHAPE, STEPS, WINDOWS = (2, 9, 9), 6, 3


def network(**options):
    torch.manual_seed(0)
    defaults = {
        "in_shape": SHAPE, "classes": 3, "coding": "frames", "steps": STEPS,
        "sample": {"kind": "events", "shape": list(SHAPE), "duration": 60_000},
        "neuron_options": {"threshold": 0.1}, "backbone": [4, 5], "windows": WINDOWS,
        "convs": [6], "hidden": [7],
    }  # fmt: skip
    model = create_model("hybrid", **{**defaults, **options})
    scale = model.readout.scale
    if scale is not None:  # windows that differ
        scale.data = torch.linspace(0.5, 1.5, len(scale))
    return model.eval()


def codes(number=12, steps=STEPS):
    spikes = np.random.default_rng(0).random((number, steps, *SHAPE)) < 0.3
    return Samples(spikes.astype(np.float32), None, "spikes")


def loop(folder, code):
    """The loop of docs/hybrid.md: sums of all windows, the logits of each."""
    backbone, head = (
        onnxruntime.InferenceSession(folder / f"model-{part}.onnx") for part in ("backbone", "head")
    )
    (sums,) = backbone.run(["sums"], {"steps": code})
    logits = [
        head.run(["logits"], {"sums": each, "t": np.array(window)})[0]
        for window, each in enumerate(sums)
    ]
    return sums, np.stack(logits)


@torch.no_grad()
def test_whole_numbers_cross_exactly_and_the_answer_is_that_of_the_network(tmp_path):
    model = network()
    source = source_of(model)
    found = export_onnx(source, tmp_path, samples=codes(), form="parts")
    assert found.report.verified and found.report.driven.layers == len(source.graph.nodes)
    assert {path.name for path in found.files} == {"model-backbone.onnx", "model-head.onnx"}

    code = source.encode(codes().images)
    sums, logits = loop(tmp_path, code)

    crossed = []
    model.body.accumulate.register_forward_hook(lambda _, __, y: crossed.append(y.numpy()))
    expected = model.run(torch.from_numpy(code)).numpy()
    assert np.array_equal(sums, crossed[0]) and sums.max() > 1
    assert np.array_equal(sums, sums.round())
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert not np.allclose(logits, loop(tmp_path, code[::-1].copy())[1], atol=1e-2)


def test_the_interpreter_computes_both_parts_as_the_whole():
    graph = source_of(network()).graph
    parts, code = split(graph), codes().images.swapaxes(0, 1)

    whole = run(graph, code)
    sums = run(parts.backbone, code).values[parts.sums]

    assert np.array_equal(sums, whole.values["accumulate"])
    assert np.array_equal(run(parts.head, sums).logits, whole.logits)


@pytest.mark.slow
def test_every_change_of_both_files_is_found(tmp_path):
    images = {"in_shape": (2, 6, 6), "coding": "hybrid", "sample": None, "steps": 4, "windows": 2}
    source, rng = source_of(network(**images)), np.random.default_rng(0)
    export_onnx(source, tmp_path, samples=None, form="parts")  # with the code in the backbone
    found = [trial_of_onnx(source, tmp_path, rng) for _ in range(16)]
    assert [each for each in found if not each.same and each.verdict is None] == []
    assert sum(each.by_running for each in found) > 4


@pytest.mark.slow
@pytest.mark.parametrize("part", ["backbone", "head"])
def test_a_changed_weight_is_found_by_running(tmp_path, part):
    source = source_of(network())
    export_onnx(source, tmp_path, samples=None, form="parts")
    path = tmp_path / f"model-{part}.onnx"
    assert check_onnx(source, path, codes(), structure=False).verified

    model = onnx.load(path)
    weight = next(each for each in model.graph.initializer if each.name.endswith("weight"))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1.5, weight.name))
    onnx.save(model, path)

    report = check_onnx(source, path, codes(), structure=False)
    assert "layer" in report.fault or "logits" in report.fault


def test_one_file_has_an_output_of_each_window(tmp_path):
    source = source_of(network())
    assert export_onnx(source, tmp_path, samples=codes()).report.verified
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    by_step = next(each for each in session.get_outputs() if each.name == "logits_per_step")
    assert by_step.shape == [WINDOWS, "N", 3]


def test_scans_are_refused_with_the_forms_that_fit(tmp_path):
    with pytest.raises(ConfigError, match="'accumulate' sums windows of steps") as error:
        export_onnx(source_of(network()), tmp_path, samples=None, form="scan")
    assert "--form stream or parts" in error.value.remedy and "sequence" in error.value.remedy


@pytest.mark.slow
@pytest.mark.parametrize("images", [False, True], ids=["events", "images"])
def test_a_stream_runs_the_head_once_a_window(tmp_path, images):
    options = {"in_shape": (2, 6, 6), "coding": "hybrid", "sample": None} if images else {}
    source = source_of(network(**options))
    given = random_samples((2, 6, 6), 12) if images else codes()
    found = export_onnx(source, tmp_path, samples=given, form="stream")
    assert found.report.verified
    assert found.report.driven.layers == len(source.graph.nodes) - 1  # the loop adds up
    assert {path.name for path in found.files} == {
        "model-init.onnx", "model-step.onnx", "model-head.onnx",
    }  # fmt: skip

    parts = [OnnxSession(tmp_path / f"model-{each}.onnx") for each in ("init", "step", "head")]
    code = source.encode(given.images)
    trace = run(source.graph, code)
    inputs = {"image": given.images, "steps": code}
    values = run_windows(*parts, inputs, STEPS, STEPS // WINDOWS)
    assert np.array_equal(values["sums"], trace.values["accumulate"])
    np.testing.assert_allclose(values["logits"], trace.logits, atol=1e-5)

    early = run_windows(*parts, inputs, STEPS, STEPS // WINDOWS, lambda so_far: np.ones(12, bool))
    # No step after the first window.
    assert len(early["spikes_out"]) == 2 and len(early["logits"]) == 1

    opened = open_file(tmp_path / "model-head.onnx").predictor
    assert opened.runtime._every == 2 and opened.runtime._sessions.keys() == {
        "init",
        "step",
        "head",
    }
    if images:
        found = opened.runtime.run(torch.from_numpy(given.images), 0)
        np.testing.assert_allclose(found.logits.numpy(), trace.logits, atol=1e-5)


@pytest.mark.slow
def test_a_changed_weight_of_a_stream_is_found(tmp_path):
    source = source_of(network())
    export_onnx(source, tmp_path, samples=None, form="stream")
    path = tmp_path / "model-step.onnx"
    assert check_onnx(source, path, codes(), structure=True).verified
    model = onnx.load(path)
    weight = next(each for each in model.graph.initializer if each.name.endswith("weight"))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1.5, weight.name))
    onnx.save(model, path)
    assert check_onnx(source, path, codes(), structure=False).fault


def test_nir_refuses_the_analog_head(tmp_path):
    with pytest.raises(ConfigError, match="head_relu1") as error:
        export_nir(source_of(network()), tmp_path, samples=None)
    assert "--format onnx" in error.value.remedy and "--form backbone" in error.value.remedy


@pytest.mark.slow
@torch.no_grad()
def test_the_spiking_part_alone_is_in_nir_and_the_onnx_head_reads_its_sums(tmp_path, monkeypatch):
    monkeypatch.setattr(nir_export, "MAX_NODES", 0)  # simulators take seconds each
    model = network()
    source = source_of(model)
    found = export_nir(source, tmp_path / "nir", samples=codes(), form="backbone")
    assert found.report.verified
    assert found.report.driven.layers == len(split(source.graph).backbone.nodes)
    export_onnx(source, tmp_path / "onnx", samples=None, form="parts")

    code = source.encode(codes().images)
    read = read_nir(tmp_path / "nir" / "model.nir")
    stacked = np.moveaxis(code, 0, 1).reshape(len(codes()), -1, *SHAPE[1:])
    output = run_nir(read, stacked[None], wanted=(OUTPUT,))[OUTPUT]
    sums = output[0].reshape(len(codes()), WINDOWS, -1, *output.shape[3:]).swapaxes(0, 1)
    expected, logits = loop(tmp_path / "onnx", code)
    assert np.array_equal(sums, expected) and sums.max() > 1

    head = onnxruntime.InferenceSession(tmp_path / "onnx" / "model-head.onnx")
    answers = [
        head.run(["logits"], {"sums": each, "t": np.array(w)})[0] for w, each in enumerate(sums)
    ]
    np.testing.assert_allclose(np.stack(answers), logits, atol=1e-6)


@pytest.mark.slow
def test_a_changed_nir_backbone_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(nir_export, "MAX_NODES", 0)
    source = source_of(network())
    export_nir(source, tmp_path, samples=None, form="backbone")
    path = tmp_path / "model.nir"
    assert check_nir(source, path, codes(), structure=True).verified
    graph = nir.read(path)
    graph.nodes["accumulate_t1"].weight = graph.nodes["accumulate_t1"].weight * 2
    nir.write(path, graph)
    assert "accumulate" in check_nir(source, path, codes(), structure=False).fault
    assert check_nir(source, path, codes(), structure=True).fault


def test_amplitudes_of_spikes_are_part_of_the_weights_that_read_their_sums():
    options = {"neuron": "integrate", "neuron_options": {"amplitude": 0.5, "most": 3}}
    model, code = network(**options), codes().images.swapaxes(0, 1)
    model.train().run(torch.from_numpy(code.copy()))  # statistics with which all layers fire
    source = source_of(model.eval())
    trace = run(source.graph, code)
    sums = trace.values["accumulate"]
    assert np.array_equal(sums, sums.round()) and sums.any()
    with torch.no_grad():
        expected = model.run(torch.from_numpy(code.copy())).numpy()
    np.testing.assert_allclose(trace.logits, expected, atol=1e-5)


@pytest.mark.slow
def test_windows_of_one_step_are_a_network_of_one_part(tmp_path):
    source = source_of(network(windows=STEPS))
    for form in ("sequence", "stream"):
        assert export_onnx(source, tmp_path / form, samples=codes(), form=form).report.verified
    with pytest.raises(ConfigError, match="this one has no accumulator"):
        export_onnx(source, tmp_path, samples=None, form="parts")


def test_networks_in_one_part_are_refused():
    with pytest.raises(ConfigError, match="this one has no accumulator"):
        split(make_source("lenet").graph)


def test_a_head_that_reads_the_code_too_is_refused():
    graph = source_of(network()).graph
    nodes = [
        replace(node, inputs=("spikes2",)) if node.name == "head_conv1" else node
        for node in graph.nodes
    ]
    with pytest.raises(ConfigError, match="has a layer 'head_conv1' that reads both parts"):
        split(replace(graph, nodes=tuple(nodes)))


@pytest.mark.slow
def test_a_file_that_adds_up_otherwise_is_kept_as_unverified(tmp_path):
    source = source_of(network())
    wrong = {node.name: node for node in source.graph.nodes}["conv2"]
    wrong = replace(wrong, weights=tuple(-weight for weight in wrong.weights))
    other = replace(source, graph=source.graph.with_nodes({"conv2": wrong}))
    with pytest.raises(VerificationError, match="does not compute what the network does"):
        export_onnx(other, tmp_path, samples=codes(), form="parts")


def test_the_loop_of_the_page_gives_the_answer_so_far(tmp_path, monkeypatch):
    source = source_of(network())
    export_onnx(source, tmp_path, samples=None, form="parts")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(PAGE.read_text().split("```python\n")[1].split("```", 1)[0], names)

    code = source.encode(codes().images)
    found = list(names["predict"](code))

    logits = run(source.graph, code).logits
    for window, answer in enumerate(found, start=1):
        np.testing.assert_allclose(answer, logits[:window].mean(0), atol=1e-5)
    assert len(found) == WINDOWS


def test_the_loop_of_a_stream_on_the_page_gives_the_same(tmp_path, monkeypatch):
    source = source_of(network())
    export_onnx(source, tmp_path, samples=None, form="stream")
    monkeypatch.chdir(tmp_path)
    names: dict = {"np": np, "onnxruntime": onnxruntime}
    exec(PAGE.read_text().split("```python\n")[2].split("```", 1)[0], names)

    code = source.encode(codes().images)
    found = list(names["follow"](iter(code), STEPS // WINDOWS))

    logits = run(source.graph, code).logits
    for window, answer in enumerate(found, start=1):
        np.testing.assert_allclose(answer, logits[:window].mean(0), atol=1e-5)
    assert len(found) == WINDOWS
