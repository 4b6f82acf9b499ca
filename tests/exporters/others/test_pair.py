"""Two files compared with each other: what one computes otherwise is counted."""

from __future__ import annotations

import nir
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from asnn.core.errors import ConfigError, DataError
from asnn.exporters import export_nir, export_onnx, random_samples, source_of
from asnn.exporters.others.pair import FilePair, NamedFile
from asnn.exporters.source import Samples
from asnn.models.nir.graph import graph_of
from asnn.records.import_nir import import_nir
from tests.support.nir_files import chain, graph_of_nodes, lif, two_populations, weights

STEPS, DT = 6, 1e-4


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network by hand in NIR, what snnTorch would compute of it in ONNX, and one with another
    weight."""
    folder = tmp_path_factory.mktemp("files")
    nir.write(folder / "a.nir", chain())
    model = import_nir(folder / "a.nir", steps=STEPS, semantics="snntorch").model
    export_onnx(source_of(model), folder / "a.onnx", samples=None)
    export_nir(source_of(model), folder / "given.nir", samples=None, form="given")
    graph = graph_of(model)
    with torch.no_grad():
        graph.node("fc2").layer.weight.mul_(1.25)
    export_onnx(source_of(model), folder / "other.onnx", samples=None)
    export_nir(source_of(model), folder / "other.nir", samples=None, form="given")
    return folder


def compared(file, against, number=12, **options):
    pair = FilePair(file, against, **options)
    return pair.compare(random_samples(pair.sample_shape, number))


def test_a_nir_file_and_what_its_simulator_computes_agree_in_onnx(files):
    theirs, ours = NamedFile(files / "a.nir", semantics="snntorch"), NamedFile(files / "a.onnx")
    for pair in ((theirs, ours), (ours, theirs)):
        report = compared(*pair)
        assert report.verified, report.fault
        (own, found), *_ = report.parities[1].spikes.values()
        assert own == found > 0
    named = f"{theirs.path} is the network of the comparison, {ours.path} the file"
    assert named in compared(theirs, ours).notes and named not in compared(ours, theirs).notes


def test_other_semantics_and_other_weights_differ(files):
    ours = NamedFile(files / "a.onnx")
    for file in (NamedFile(files / "a.nir"), NamedFile(files / "other.nir")):
        report = compared(file, ours)
        assert not report.verified
        assert report.parities[1].spike_mismatches["network.lif2"].sum() > 0


def test_spikes_of_two_nir_files_are_compared_by_layer_and_step(files):
    pair = NamedFile(files / "other.nir"), NamedFile(files / "given.nir")
    report = compared(*pair)
    assert [note.partition(": ")[2] for note in report.notes if "other.nir" in note] == [
        "semantics are those of snntorch, as the metadata of the file state",
        "dt is 0.0001 s, as the metadata of the file state",
    ]
    parity = report.parities[1]
    first, last = parity.spike_mismatches
    assert (first, last) == ("network.lif1", "network.lif2")
    assert not parity.spike_mismatches[first].any() and parity.spike_mismatches[last].sum() > 0
    assert parity.about["layers"] == {"network.lif1": "lif1", "network.lif2": "lif2"}
    assert parity.first_mismatch.layer == last
    assert compared(NamedFile(files / "a.nir", semantics="snntorch"), pair[1]).verified


def test_outputs_of_two_onnx_files_are_compared(files):
    one, other = NamedFile(files / "a.onnx"), NamedFile(files / "other.onnx")
    copy = files / "copy.onnx"
    copy.write_bytes(one.path.read_bytes())
    assert compared(NamedFile(copy), one).verified
    report = compared(other, one)
    (parity,) = report.parities
    assert not report.verified and parity.spike_mismatches["outputs"].sum() > 0
    assert [*parity.spikes] == ["outputs"]


def test_files_without_an_export_graph_are_compared_by_their_outputs(tmp_path):
    """A loop of two layers has none."""
    first, other = two_populations(), two_populations()
    other.nodes["out"].weight = 1.5 * other.nodes["out"].weight
    for name, graph in (("a", first), ("copy", first), ("b", other)):
        nir.write(tmp_path / f"{name}.nir", graph)
    a, copy, b = (NamedFile(tmp_path / f"{name}.nir", dt=DT) for name in ("a", "copy", "b"))
    same = compared(copy, a, steps=STEPS)
    assert same.verified
    assert any("spikes of layers are not compared: the loop of e, ei" in n for n in same.notes)
    assert "layer outputs" in compared(b, a, steps=STEPS).fault


def test_files_of_several_spikes_a_step_are_compared(tmp_path):
    nodes = {"fc": nir.Linear(weights(0, 4, 3, scale=2)), "n": lif(4, tau=5.0, r=1.0)}
    nir.write(tmp_path / "a.nir", graph_of_nodes([3], 4, "input>fc>n>output", **nodes))
    nir.write(tmp_path / "b.nir", graph_of_nodes([3], 4, "input>fc>n>output", **nodes))
    a = NamedFile(tmp_path / "a.nir", semantics="sinabs")
    same = NamedFile(tmp_path / "b.nir", semantics="sinabs")
    assert compared(same, a, steps=STEPS).verified
    strict = NamedFile(tmp_path / "b.nir", dt=1.0, semantics="nir")
    assert not compared(strict, a, steps=STEPS).verified


def written(path, *, frames: int | None, weight: np.ndarray, answer: bool = False):
    """Write y = W x of frames `[T, N, 3]`, or of one `[N, 3]`; or the mean of y."""
    shape = ["n", 3] if frames is None else [frames, "n", 3]
    given = [*shape[int(answer) : -1], 2]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    if answer:
        nodes.append(helper.make_node("ReduceMean", ["y", "axis"], ["mean"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("mean" if answer else "y", TensorProto.FLOAT, given)],
        [
            numpy_helper.from_array(weight.astype(np.float32), "w"),
            numpy_helper.from_array(np.array([0]), "axis"),
        ],
    )
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return NamedFile(path)


def test_onnx_files_of_others(tmp_path):
    """Of frames and of one frame, of outputs of steps and of an answer, which is their mean."""
    weight = weights(0, 3, 2)
    steps = written(tmp_path / "steps.onnx", frames=5, weight=weight)
    mean = written(tmp_path / "mean.onnx", frames=5, weight=weight, answer=True)
    image = written(tmp_path / "image.onnx", frames=None, weight=weight)
    other = written(tmp_path / "other.onnx", frames=None, weight=2 * weight)
    assert FilePair(mean, steps).sample_shape == (5, 3)
    assert compared(mean, steps).verified and compared(steps, mean).verified
    assert FilePair(image, steps).sample_shape == (3,)
    assert compared(image, other, steps=1).fault == (compared(other, image, steps=1).fault)
    assert not compared(image, other, steps=1).verified


def test_what_is_given_wrongly_is_refused(files, tmp_path):
    a, ours = NamedFile(files / "a.nir"), NamedFile(files / "a.onnx")
    with pytest.raises(ConfigError, match=r"a\.nir is compared with itself"):
        FilePair(a, a)
    with pytest.raises(ConfigError, match="numbers of time steps differ") as refused:
        FilePair(ours, a, steps=STEPS + 1)
    assert refused.value.why.endswith(f"a.onnx: {STEPS} and --steps: {STEPS + 1}")
    with pytest.raises(ConfigError, match=r"semantics are for \.nir files"):
        FilePair(NamedFile(ours.path, semantics="norse"), a)
    with pytest.raises(ConfigError, match=r"the length of a step, dt, is for \.nir files"):
        FilePair(NamedFile(ours.path, dt=1e-4), a)
    nir.write(tmp_path / "small.nir", graph_of_nodes([4], 4, "input>n>output", n=lif(4)))
    small = NamedFile(tmp_path / "small.nir")
    with pytest.raises(ConfigError, match="the number of time steps is not known") as refused:
        FilePair(a, small)
    assert refused.value.remedy == "give --steps T"
    with pytest.raises(DataError) as found:
        compared(a, small, steps=STEPS)
    assert found.value.why == f"its input is [64], that of {small.path} [4]"
    with pytest.raises(DataError) as found:
        compared(ours, small)
    assert f"; {small.path} takes [T, N, 4] or [N, T, 4], T = {STEPS}" in found.value.why


def test_an_unrolled_file_takes_other_frames(files, tmp_path):
    model = import_nir(files / "a.nir", steps=STEPS, semantics="snntorch").model
    source = source_of(model)
    export_nir(source, tmp_path / "unrolled.nir", samples=None)
    pair = FilePair(NamedFile(tmp_path / "unrolled.nir"), NamedFile(files / "a.nir"), steps=STEPS)
    samples = Samples(np.zeros((1, *pair.sample_shape), np.float32), None, "zeros")
    with pytest.raises(DataError, match="cannot be compared") as refused:
        pair.compare(samples)
    assert refused.value.remedy == "it takes all 6 steps at once: compare it with its run"
