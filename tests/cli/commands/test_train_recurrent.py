"""The same commands for recurrent networks: train, evaluate with energy, report, export."""

import json

import pytest

KEYS = ["coding.steps=3", "data.limit=96", "train.epochs=1", "train.batch_size=32"]
NETWORKS = {
    "rsnn": (
        None,
        "recurrent weights receive spikes, and ReLU has none",
    ),
    "lstm": (
        "multiplies its gates and its cell, which NIR cannot express",
        "an LSTM has no neurons that ReLU could replace",
    ),
}


def settings(name):
    keys = [f"model.name={name}", "model.features=[12]", *KEYS]
    return [word for key in keys for word in ("--set", key)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_recurrent_network_from_training_to_export(cli, name):
    no_nir, no_ann = NETWORKS[name]
    trained = cli("train", *settings(name), "--out", "run")
    assert trained.code == 0, trained.err

    found = json.loads(cli("eval", "run", "--energy", "--json").out)
    energy = found["energy"]
    assert energy["reason"] is None and energy["picojoules_per_sample"] > 0
    assert found["exits"][-1]["picojoules"] == pytest.approx(energy["picojoules_per_sample"])
    assert energy["ann_twin"]["dense"]["picojoules_per_sample"] is None
    assert energy["ann_twin"]["dense"]["reason"] == no_ann
    layers = {layer["name"]: layer for layer in energy["layers"]}
    if name == "rsnn":
        assert sum(layers["spikes1.recurrent"]["dense"]) == 2 * 12**2  # from the second step on
        assert list(found["spike_rates"]) == ["spikes1"]
    else:
        assert layers["lstm1"]["dense"] == [4 * 12 * (64 + 12)] * 3
        assert energy["accumulates"] == 0 and found["spike_rates"] == {}

    shown = cli("eval", "run", "--energy")
    assert shown.code == 0 and f"ANN, dense: unknown: {no_ann}" in " ".join(shown.err.split())
    refused = cli("eval", "run", "--ann", "run")
    assert refused.code == 2 and f"{name} has no ANN counterpart" in refused.err

    report = cli("report", "run", "-o", "page.html", "--json")
    (figures,) = json.loads(report.out)["runs"]
    assert figures["ann_twin_picojoules"] is None
    assert figures["picojoules_per_sample"] == pytest.approx(energy["picojoules_per_sample"])

    for form in ("sequence", "stream", "scan"):
        onnx = cli("export", "run", "--format", "onnx", "--form", form, "-o", form, "--json")
        assert onnx.code == 0 and json.loads(onnx.out)["verified"] is True, onnx.err
    nir = cli("export", "run", "--format", "nir", "--json")
    if no_nir is None:
        assert nir.code == 0 and json.loads(nir.out)["verified"] is True, nir.err
    else:
        assert nir.code == 2 and no_nir in nir.err


@pytest.mark.parametrize("name", NETWORKS)
def test_a_teacher_without_recurrence_is_refused_before_anything_is_written(cli, tmp_path, name):
    result = cli("train", *settings(name), "--set", "train.teacher=ann", "--out", "run")
    assert result.code == 2 and f"{name} has no ANN counterpart" in result.err
    assert {"rsnn": "ReLU has none", "lstm": "ReLU could replace"}[name] in result.err
    assert not (tmp_path / "run").exists()
