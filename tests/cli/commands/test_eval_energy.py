"""`asnn eval --energy`, `--exit` and `--calibration`: results and refusals."""

import json
import shutil

import pytest

from asnn.measure.cost.energy import FORMULA

ANN_OPTIONS = [
    *("--set", "model.neuron=relu", "--set", "coding.name=direct", "--set", "coding.steps=1"),
    *("--set", "train.epochs=1", "--set", "data.limit=200"),
    *("--set", "model.widths=[4,8]", "--set", "model.hidden=16"),
]


@pytest.fixture(scope="module")
def ann(tmp_path_factory):
    """The trained ANN counterpart of `trained`."""
    from asnn.cli.app import run

    folder = tmp_path_factory.mktemp("ann") / "run"
    assert run(["train", *ANN_OPTIONS, "--out", str(folder)]) == 0
    return folder


def evaluated(cli, *arguments):
    result = cli("eval", *arguments, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


@pytest.mark.slow
def test_energy_agrees_with_itself_and_with_plain_eval(cli, trained):
    plain = evaluated(cli, trained)
    assert {"energy", "exits", "calibration", "corruption", "latency"}.isdisjoint(plain)
    found = evaluated(cli, trained, "--energy")
    for key in ("accuracy", "loss", "confusion", "accuracy_per_step", "spike_rates"):
        assert found[key] == plain[key]
    energy = found["energy"]
    assert energy["table"]["name"] == "45nm-fp32" and energy["formula"] == FORMULA
    expected = 4.6 * energy["multiply_accumulates"] + 0.9 * energy["accumulates"]
    assert energy["picojoules_per_sample"] == pytest.approx(expected)
    kinds = {layer["name"]: layer["operation"] for layer in energy["layers"]}
    assert kinds == {
        "conv1.analog": "mac", "conv1.spikes": "ac", "conv2": "ac", "linear": "ac", "readout": "ac"
    }  # fmt: skip
    rates = {layer["name"]: layer["rate"] for layer in energy["neurons"]}
    assert {k: pytest.approx(v) for k, v in rates.items()} == found["spike_rates"]
    last = found["exits"][-1]
    assert (last["accuracy"], last["steps"]) == (found["accuracy"], 4)
    assert last["picojoules"] == pytest.approx(energy["picojoules_per_sample"])
    dense = energy["ann_twin"]["dense"]
    # 3×3 kernels over 8×8 and 4×4 pixels, with padding; 8·2·2 values to 16 to 10.
    assert dense["multiply_accumulates"] == 4 * 22**2 + 4 * 8 * 10**2 + 32 * 16 + 160
    layers = {layer["name"]: layer["dense"] for layer in dense["layers"]}
    assert layers == {"conv1.analog": 1936, "conv2": 3200, "linear": 512, "readout": 160}
    assert sum(layer["picojoules"] for layer in dense["layers"]) == pytest.approx(
        dense["picojoules_per_sample"]
    )
    assert energy["ann_twin"]["trained"] is None


@pytest.mark.slow
def test_tables_change_energy_and_not_operations(cli, trained, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\nsource = "test"\n[picojoules]\nmac = 0\nac = 2\n')
    found = {
        name: evaluated(cli, trained, "--energy-table", name)["energy"]
        for name in ("45nm-fp32", "45nm-fp32-memory", str(own))
    }
    assert len({energy["accumulates"] for energy in found.values()}) == 1
    assert found[str(own)]["picojoules_per_sample"] == 2 * found[str(own)]["accumulates"]
    parts = found["45nm-fp32-memory"]["picojoules_by_part"]
    assert min(parts.values()) > 0
    assert parts["synapses"] == pytest.approx(found["45nm-fp32"]["picojoules_per_sample"])


@pytest.mark.slow
def test_exits_cost_less_than_all_steps(cli, trained):
    found = evaluated(cli, trained, "--exit", "confidence=0.1,1.0,0.1", "--exit", "confidence=0.5")
    assert found["energy"]["table"]["name"] == "45nm-fp32"  # of these rows
    rows = found["exits"]
    early, never, middle = rows[4:]  # a repeated rule counts once
    first, last = rows[0], rows[3]
    assert (early["steps"], early["accuracy"]) == (1, first["accuracy"])  # 1 of 10 is the least
    assert early["picojoules"] == pytest.approx(first["picojoules"])
    assert never["steps"] <= 4 and never["picojoules"] <= last["picojoules"] * (1 + 1e-12)
    assert early["steps"] <= middle["steps"] <= never["steps"]


@pytest.mark.slow
def test_fewer_steps_spend_what_the_first_steps_spend(cli, trained):
    complete = evaluated(cli, trained, "--energy")
    early = evaluated(cli, trained, "--energy", "--steps", "2")
    assert early["energy"]["picojoules_by_step"] == complete["energy"]["picojoules_by_step"][:2]
    assert early["exits"] == [
        {**row, "leaving": row["leaving"][:2]} for row in complete["exits"][:2]
    ]


@pytest.mark.slow
def test_a_trained_ann_is_measured_on_the_same_images(cli, trained, ann):
    found = evaluated(cli, trained, "--ann", ann)["energy"]["ann_twin"]
    assert evaluated(cli, trained, "--twin", ann)["energy"]["ann_twin"] == found  # its old name
    alone = evaluated(cli, ann, "--energy")
    assert found["trained"]["accuracy"] == alone["accuracy"]
    for key in ("multiply_accumulates", "picojoules_per_sample", "activation_sparsity"):
        assert found["trained"][key] == alone["energy"][key]
    assert alone["energy"]["accumulates"] == 0
    assert found["trained"]["multiply_accumulates"] < found["dense"]["multiply_accumulates"]
    assert found["dense"]["multiply_accumulates"] == alone["energy"]["synaptic_operations"]["dense"]


@pytest.mark.slow
def test_the_tables(cli, trained, ann):
    result = cli(
        "eval", trained, "--energy", "--ann", ann, "--exit", "confidence=0.9", "--calibration"
    )  # fmt: skip
    assert result.code == 0 and result.out == ""
    for text in (
        "operations and energy of one image, 45nm-fp32", "conv1.analog", "ANN, dense",
        "ANN, without zeros", "E = mac·MAC", "Horowitz", "confidence=0.9", "calibration",
        "tradeoff.png", "reliability.png",
    ):  # fmt: skip
        assert text in result.err, text
    tables = [line for line in result.err.splitlines() if "─" in line]
    assert tables and max(map(len, tables)) <= 80
    assert (trained / "tradeoff.png").stat().st_size > 1000
    assert (trained / "reliability.png").stat().st_size > 1000


@pytest.mark.slow
def test_calibration_in_json(cli, trained):
    found = evaluated(cli, trained, "--calibration")
    assert sum(b["samples"] for b in found["calibration"]) == found["samples"]
    error = sum(
        b["samples"] * abs(b["accuracy"] - b["confidence"])
        for b in found["calibration"] if b["samples"]
    )  # fmt: skip
    assert found["calibration_error"] == pytest.approx(error / found["samples"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--energy-table", "45nm"], "45nm-fp32"),
        (["--energy-table", "missing.toml"], "missing.toml"),
        (["--exit", "confidence=90"], "confidence=90"),
        (["--exit", "entropy=0.5"], "entropy"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_evaluated(cli, trained, arguments, says):
    result = cli("eval", trained, *arguments)
    assert result.code == 2
    assert says in result.err and "evaluating" not in result.err


@pytest.mark.slow
def test_another_network_is_refused_as_the_ann_counterpart(cli, trained, tmp_path):
    result = cli("eval", trained, "--ann", trained)
    assert result.code == 2 and "its neuron is 'adaptive', not 'relu'" in result.err
    assert cli("eval", trained, "--ann", tmp_path / "none").code == 4
    wider = [argument.replace("[4,8]", "[4,6]") for argument in ANN_OPTIONS]
    assert cli("train", *wider, "--out", "wider").code == 0
    result = cli("eval", trained, "--ann", "wider")
    assert result.code == 2 and "its widths is [4, 6], not [4, 8]" in result.err
    longer = [argument.replace("steps=1", "steps=2") for argument in ANN_OPTIONS]
    assert cli("train", *longer, "--out", "longer").code == 0
    assert "its steps is 2, not 1" in cli("eval", trained, "--ann", "longer").err


@pytest.mark.slow
def test_pictures_of_a_run_are_of_all_steps_and_the_test_data(cli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run, ignore=shutil.ignore_patterns("*.png"))
    for more in (["--steps", "2"], ["--split", "validation"]):
        assert cli("eval", run, "--energy", "--calibration", *more).code == 0
        assert not list(run.glob("tradeoff.png")) and not list(run.glob("reliability.png"))
    assert cli("eval", run, "--energy", "--calibration").code == 0
    assert list(run.glob("tradeoff.png")) and list(run.glob("reliability.png"))


@pytest.mark.slow
def test_the_teacher_is_the_ann_counterpart(cli, trained, ann, tmp_path):
    run = tmp_path / "taught"
    shutil.copytree(trained, run)
    shutil.copytree(ann, run / "teacher")
    found = evaluated(cli, run, "--energy")["energy"]["ann_twin"]
    assert found["trained"]["accuracy"] == evaluated(cli, ann)["accuracy"]


def test_a_file_that_is_no_energy_table_is_refused(cli, trained, tmp_path):
    (tmp_path / "t.toml").write_text("mac = 1")
    result = cli("eval", trained, "--energy-table", "t.toml")
    assert result.code == 4 and "not an energy table" in result.err


@pytest.mark.slow
def test_exact_times_are_decided_by_the_first_output_spike(cli):
    settings = ("train.epochs=1", "data.limit=200", "model.features=[12]")
    given = [part for each in settings for part in ("--set", each)]
    assert cli("train", "yin-yang", *given, "--out", "run").code == 0
    found = json.loads(cli("eval", "run", "--energy", "--json").out)
    decision = found["decision"]
    assert list(decision) == ["time", "accuracy", "picojoules", "spikes"]
    assert decision["time"] == pytest.approx(found["mean_time"])
    assert decision["accuracy"] == found["accuracy"]
    assert decision["spikes"] == found["spikes_to_decision"] <= found["spikes_per_sample"]
    assert 0 < decision["picojoules"] <= found["energy"]["picojoules_per_sample"]
    shown = cli("eval", "run", "--energy").err
    assert f"up to the decision, at the time {decision['time']:.4g} on average: " in shown
    assert f"{decision['spikes']:,.1f} spikes until then" in shown
