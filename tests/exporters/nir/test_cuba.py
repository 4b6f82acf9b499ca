"""Many exact spike times as CubaLIF nodes, and on a clock in ONNX."""

import json
from dataclasses import replace

import nir
import numpy as np
import onnx
import pytest
import torch

import asnn
from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx, source_of, verify
from asnn.exporters.export import dt_of_file
from asnn.exporters.nir import cuba
from asnn.exporters.onnx.forms import build_models
from asnn.exporters.source import random_samples
from asnn.exporters.verification.structure import onnx_differences
from tests.models.timing.test_clocked import network

DT = 0.002


@pytest.mark.slow
def test_nodes_are_the_neurons_in_continuous_time(tmp_path):
    """τ v' = -v + r I and τ_syn I' = -I + w_in S, with r = τ and w_in = τ_syn, are the neurons'
    V' = -V/τ + I and jumps of I by w. The exact spike times of the samples stand beside it."""
    model = network()
    source = source_of(model, dt=DT)
    samples = random_samples(source.sample_shape, 8)
    result = export_nir(source, tmp_path / "a.nir", samples=samples)
    assert result.report is not None
    assert result.report.verified
    read = nir.read(tmp_path / "a.nir")
    node = read.nodes["timing1"]
    assert isinstance(node, nir.CubaLIF)
    assert np.allclose(node.r, node.tau_mem)
    assert np.allclose(node.w_in, node.tau_syn)
    assert np.allclose(node.tau_mem, 2 * 0.13)
    assert np.allclose(node.v_threshold, 0.25)
    coarse, fine = json.loads((tmp_path / "a.nir.parity.json").read_text())["steps"]
    assert (coarse["dt"], fine["dt"]) == (DT / 2, DT / 4)
    assert fine["mean"] < 0.75 * coarse["mean"]
    assert fine["equal_counts"] >= 0.99
    assert fine["spikes"] > 100
    assert sum("discretisation" in note for note in result.notes) == 2
    golden = nir.read_data(tmp_path / "a.golden.nir")
    events = golden.nodes["timing1"].observables["output"]
    exact = model.body[0](model.coding.encode(torch.from_numpy(samples.images)))[0]
    assert np.isfinite(events.time).sum() == exact.isfinite().sum()
    assert events.n_neurons == 12
    assert verify(source, tmp_path / "a.nir", samples).verified
    changed = torch.nn.Parameter(2 * model.body[0].weight.detach())
    model.body[0].weight = changed
    assert not verify(source_of(model, dt=DT), tmp_path / "a.nir", samples).verified


def test_a_wrong_neuron_is_not_verified(tmp_path, monkeypatch):
    """Negative control: the difference of a file with another synapse does not fall."""
    right = cuba.at_step

    def wrong(graph, dt):
        nodes = {
            name: replace(node, tau_syn=0.8 * node.tau_syn)
            if isinstance(node, nir.CubaLIF)
            else node
            for name, node in right(graph, dt).nodes.items()
        }
        return nir.NIRGraph(nodes, graph.edges)

    monkeypatch.setattr(cuba, "at_step", wrong)
    source = source_of(network(), dt=DT)
    with pytest.raises(VerificationError, match="does not compute what the network does"):
        export_nir(source, tmp_path / "a.nir", samples=random_samples(source.sample_shape, 8))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"membrane": "integrator"}, "has the membrane integrator"),
        ({"name": "timing-conv"}, "is a convolution of exact times"),
    ],
)
def test_what_nir_does_not_have_is_refused(tmp_path, changes, text):
    source = source_of(network(**changes), dt=DT)
    with pytest.raises(ConfigError, match=text):
        export_nir(source, tmp_path / "a.nir", samples=None)


def test_other_forms_and_targets_are_refused(tmp_path):
    source = source_of(network(), dt=DT)
    for options in ({"target": "norse"}, {"form": "lif"}):
        with pytest.raises(ConfigError, match="has one form in NIR"):
            export_nir(source, tmp_path / "a.nir", samples=None, **options)


@pytest.mark.slow
def test_onnx_computes_the_network_on_a_clock(tmp_path):
    source = source_of(network(), dt=0.01)
    samples = random_samples(source.sample_shape, 4)
    result = export_onnx(source, tmp_path / "a.onnx", samples=samples)
    assert result.report is not None
    assert result.report.verified
    assert sum("discretisation" in note for note in result.notes) == 2


def unnamed(model):
    """Return the values between the nodes of a model whose batch has no name."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info
    dims = {each.name: [d.dim_param for d in each.type.tensor_type.shape.dim] for each in inferred}
    return {name for name, names in dims.items() if "/" in name and "N" not in names}


def test_the_batch_has_a_name_in_all_steps():
    """So onnxruntime finds memory to reuse: with unnamed batches its search took minutes."""
    source = source_of(network(), dt=0.02)
    model = build_models(source.graph, source.coding)["model"]
    steps = source.graph.steps
    named = {each.name for each in model.graph.value_info}
    assert {"timing1", "timing1/at_rest", "timing1_weight"} <= named
    without = unnamed(model)
    assert not any(name.startswith("timing1/") and "/sizes" not in name for name in without)
    earlier, other = onnx.ModelProto(), onnx.ModelProto()
    for each in (earlier, other):
        each.CopyFrom(model)
    del earlier.graph.value_info[:]
    assert len(unnamed(earlier) - without) > 5 * steps  # negative control
    # Files of former versions do not state shapes; a file that states others is another one.
    other.graph.value_info[0].type.tensor_type.shape.dim[1].dim_param = "M"
    found = [str(onnx_differences({"a": model}, {"a": each})) for each in (earlier, other)]
    assert ["value_info" in each for each in found] == [False, True]


def test_dt_is_for_exact_times():
    from asnn.models import create_model

    model = create_model("mlp", in_shape=(1, 2, 2), classes=2, features=[3])
    with pytest.raises(ConfigError, match=r"has no exact times, and dt is 0\.1") as error:
        source_of(model, dt=0.1)
    assert "time steps of its own" in error.value.why


@pytest.mark.slow
@pytest.mark.parametrize(
    ("export", "name", "dt"), [(asnn.export_onnx, "a.onnx", 0.01), (asnn.export_nir, "a.nir", DT)]
)
def test_a_file_is_checked_at_its_own_step(tmp_path, export, name, dt):
    model = network()
    export(model, tmp_path / name, dt=dt, samples=8)
    assert dt_of_file(tmp_path / name) == dt
    assert asnn.verify(model, tmp_path / name, samples=8).verified
    source, samples = source_of(model, dt=0.005), random_samples((1, 6, 6), 4)
    assert "network" in verify(source, tmp_path / name, samples).fault


def test_a_source_has_its_step(tmp_path):
    with pytest.raises(ConfigError, match="made for a step already"):
        asnn.export_onnx(source_of(network()), tmp_path / "a.onnx", dt=0.01)
