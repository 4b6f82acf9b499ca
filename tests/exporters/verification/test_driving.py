"""Random input into single layers: neurons that samples leave silent are proven too."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from asnn.core.errors import VerificationError
from asnn.exporters import Samples, export_nir, export_onnx
from asnn.exporters.graph import ir as g
from asnn.exporters.graph.equations import traced
from asnn.exporters.graph.interpreter import evaluate
from asnn.exporters.nir import export as nir_export
from asnn.exporters.onnx import export as onnx_export
from asnn.exporters.verification.driving import RATES, ROUNDS, drive, random_input
from tests.support.exported_networks import CONSTANT_SCHEDULE, make_source

ONNX = ["sequence", "stream", "scan"]


def black(number=6):
    """Images of which nothing fires."""
    return Samples(np.zeros((number, 2, 6, 6), np.float32), None, "black")


def without_structure(monkeypatch):
    monkeypatch.setattr(onnx_export, "onnx_differences", lambda *_: [])
    monkeypatch.setattr(nir_export, "nir_differences", lambda *_: [])


def with_changed_neuron(graph):
    node = graph.neurons[1]
    threshold = node.threshold.copy()
    threshold[:, :] += 0.5
    return graph.with_nodes({node.name: replace(node, threshold=threshold)})


@pytest.mark.slow
@pytest.mark.parametrize("form", ONNX)
def test_a_threshold_that_no_sample_reaches_is_found(tmp_path, monkeypatch, form):
    source = make_source(neuron_options={"threshold": 40.0})
    without_structure(monkeypatch)
    genuine = onnx_export.build_models
    monkeypatch.setattr(
        onnx_export, "build_models", lambda g, *a, **o: genuine(with_changed_neuron(g), *a, **o)
    )
    with pytest.raises(VerificationError) as refused:
        export_onnx(source, tmp_path, samples=black(), form=form)
    assert "layer spikes2" in refused.value.why and "given random input" in refused.value.why
    # A negative control: samples alone do not find it.
    monkeypatch.setattr(onnx_export, "driven_onnx", lambda *_: None)
    assert export_onnx(source, tmp_path, samples=black(), form=form).report.verified


@pytest.mark.slow
@pytest.mark.parametrize(("form", "options"), [("pure", {}), ("lif", CONSTANT_SCHEDULE)])
def test_a_threshold_in_a_nir_file(tmp_path, monkeypatch, form, options):
    neuron = {**options.get("neuron_options", {}), "threshold": 40.0}
    source = make_source(**{**options, "neuron_options": neuron})
    without_structure(monkeypatch)
    name = "build_lif" if form == "lif" else "unroll"
    genuine = getattr(nir_export, name)
    monkeypatch.setattr(nir_export, name, lambda g, *a: genuine(with_changed_neuron(g), *a))
    with pytest.raises(VerificationError) as refused:
        export_nir(source, tmp_path, samples=black(), form=form)
    assert "layer spikes2" in refused.value.why and "given random input" in refused.value.why
    monkeypatch.setattr(nir_export, "driven_nir", lambda *_, **__: None)
    assert export_nir(source, tmp_path, samples=black(), form=form).report.verified


def test_input_is_of_the_kind_that_a_layer_gets():
    graph = make_source().graph
    nodes = {node.name: node for node in graph.nodes}
    rng = np.random.default_rng(0)
    spikes = random_input(graph, "spikes1_pool", nodes["conv2"], 3, rng)
    assert set(np.unique(spikes)) == {0.0, 1.0}
    rates = spikes.mean((0, 2, 3, 4)).reshape(len(RATES), ROUNDS).mean(1)
    np.testing.assert_allclose(rates, RATES, atol=0.05)
    values = random_input(graph, "conv2", nodes["spikes2"], 3, rng)
    assert len(np.unique(values)) > 100


def test_every_neuron_fires_and_is_silent(tmp_path):
    report = export_onnx(make_source(), tmp_path, samples=black()).report
    assert {"spikes1", "spikes2", "spikes3"} == set(report.driven.neurons)
    assert all(shares == (1.0, 1.0) for shares in report.driven.neurons.values())


@pytest.mark.parametrize("step", [torch.sqrt, torch.log, lambda x: 1 / (x - x)])
def test_values_that_are_no_numbers_are_compared(step):
    """Of the root of a negative number there is none, in a file and in its graph."""
    node = traced(g.Dynamics, "n", (g.INPUT,), step, [], {}, 2)
    graph = g.Graph((node,), (3,), 2)

    def run(node, given):
        with np.errstate(invalid="ignore", divide="ignore"):
            return evaluate(node, [given[g.INPUT]])

    def without(node, given):
        return np.nan_to_num(run(node, given), nan=0.5, posinf=9, neginf=-9)

    def inverted(node, given):
        return -run(node, given)

    assert drive(graph, "the graph itself", run).fault is None
    for other in (without, inverted):
        assert "layer n, step 0, given random input" in drive(graph, "another", other).fault
