"""`asnn bench`: its output and its refusals. No time is asserted."""

import json
from dataclasses import replace

import pytest
import torch

from asnn.benchmarks import architectures
from asnn.benchmarks.baselines import BASELINES, Baseline, base
from tests.support.small_bench import make_paper_small

QUICK = ["bench", "--quick", "--base", "relu", "--against", "step-loop", "--threads", "1"]


@pytest.mark.slow
def test_json_is_one_object(cli):
    threads = torch.get_num_threads()
    result = cli(*QUICK, "--steps", "1,2", "--batch", "2", "--coding", "rate", "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert set(found) == {
        *("command", "machine", "versions", "threads", "rounds", "base", "cases", "not_asked"),
    }
    assert (found["threads"], found["rounds"], found["base"]) == (1, 2, "relu")
    cases = [(case["case"]["batch"], case["case"]["steps"]) for case in found["cases"]]
    assert cases == [(2, 1), (2, 2)]
    for case in found["cases"]:
        assert list(case["contestants"]) == ["step-loop", "relu"]
        for baseline in case["contestants"].values():
            assert set(baseline) == {"what", "work", "train", "inference"}
    assert "rounds of 2 baselines" in result.err and "quartiles" not in result.err
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_the_reported_command_repeats_the_measurement(cli):
    first = json.loads(cli(*QUICK, "--what", "inference", "--json").out)
    program, *arguments = first["command"].split()
    assert program == "asnn"
    again = json.loads(cli(*arguments, "--json").out)
    assert again["command"] == first["command"]
    assert again["cases"][0]["case"] == first["cases"][0]["case"]


@pytest.mark.slow
def test_tables_fit_80_columns(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = cli(*QUICK)
    assert (result.code, result.out) == (0, "")
    lines = result.err.splitlines()
    assert any(line.split()[:4] == ["ms", "quartiles", "×", "relu"] for line in lines)
    rows = [line for line in lines if line.strip().startswith(("step-loop ", "relu "))]
    assert len(rows) == 4 and max(map(len, rows)) <= 80
    for text in (": training step", ": inference", "threads: 1, Python", "made with: asnn bench"):
        assert text in result.err


@pytest.mark.slow
def test_files(cli, tmp_path):
    result = cli(*QUICK, "--what", "train", "-o", "bench.json", "--plot", "cost.png", "--json")
    assert result.code == 0
    assert json.loads((tmp_path / "bench.json").read_text()) == json.loads(result.out)
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_memory_and_first_call(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    small = ["--in-shape", "1x8x8", "--steps", "1", "--batch", "2", "--rounds", "1"]
    arguments = ["bench", "--base", "relu", "--against", "relu", "--what", "inference", *small]
    result = cli(*arguments, "--threads", "1")
    assert result.code == 0
    assert "memory and first call" in result.err and "peak MB" in result.err
    assert "--no-memory" not in result.err


@pytest.mark.slow
def test_a_library_that_is_not_installed_is_named(cli, monkeypatch):
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    result = cli(*QUICK[:-4], "--against", "norse", "--what", "inference")
    assert result.code == 0
    expected = "not measured: norse: norse is not installed (pip install 'asnn[bench]')"
    assert expected in result.err


@pytest.mark.slow
def test_all_names_what_it_leaves_out(cli, monkeypatch):
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    found = json.loads(cli("bench", "--quick", "--what", "inference", "--json").out)
    names = {each["contestant"] for each in found["cases"][0]["not_measured"]}
    assert names == {"asnn", "spikingjelly", "snntorch", "norse"}
    measured = set(found["cases"][0]["contestants"])
    assert measured == {"asnn-reference", "step-loop", "relu", "relu-every-step"}
    assert found["cases"][0]["contestants"]["relu"]["inference"]["ratio"] is None
    others = {"spikingjelly-compiled", "asnn-dsr", "spikingjelly-dsr"}  # slow, or of other neurons
    others |= {f"asnn-{neuron}" for neuron in ("integrate", "burst", "once")}
    others |= {f"asnn-{neuron}-reference" for neuron in ("integrate", "burst", "once")}
    assert set(found["not_asked"]) == others


@pytest.mark.slow
@pytest.mark.parametrize("model", ["ms-resnet18-16", "spikformer"])
def test_networks_that_are_not_sequential(cli, monkeypatch, model):
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    command = [*QUICK[:4], "--against", "step-loop,norse,spikingjelly", "--threads", "1"]
    found = json.loads(cli(*command, "--model", model, "--what", "train", "--json").out)
    (case,) = found["cases"]
    assert case["case"]["model"] == model and list(case["contestants"]) == ["relu"]
    assert {each["contestant"]: each["why"] for each in case["not_measured"]} == {
        "step-loop": f"it does not build {model}",
        "norse": f"it does not build {model}",
        "spikingjelly": "spikingjelly is not installed (pip install 'asnn[bench]')",
    }


@pytest.mark.slow
def test_unequal_work_is_reported_and_fails(cli, monkeypatch):
    """Negative control: a baseline with another neuron than it declares."""
    doubled = Baseline(
        "doubled",
        "of this test",
        ".step_loop:StepLoop",
        neuron={"leak": 0.5, "gain": 1.0, "reset": "subtract"},
    )
    monkeypatch.setitem(BASELINES, "doubled", doubled)
    result = cli("bench", "--quick", "--base", "relu", "--against", "doubled", "--steps", "6")
    assert result.code == 3
    assert "not measured: doubled: it does not do equal work: with equal weights" in result.err
    assert "baselines that compute something else are not measured" in result.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--against", "nors"], ["unknown baseline 'nors'", "did you mean 'norse'?"]),
        (["--base", "rellu"], ["unknown baseline 'rellu'", "did you mean 'relu'?"]),
        (["--what", "training"], ["unknown choice of --what 'training'", "did you mean 'train'?"]),
        (
            ["--model", "vgg"],
            ["unknown model to measure 'vgg'", "lenet, lenet-16-32, mlp, ms-resnet18, "],
        ),
        (["--model", "spikformr"], ["did you mean 'spikformer'?"]),
        (["--coding", "hybird"], ["unknown coding 'hybird'", "did you mean 'hybrid'?"]),
        (["--steps", "1,x"], ["--steps takes whole numbers such as 1,4,16, not '1,x'"]),
        (["--batch", ""], ["--batch takes whole numbers"]),
        (["--in-shape", "3,32,32"], ["--in-shape takes whole numbers such as 3x32x32"]),
        (["--in-shape", "3x32"], ["shape (3, 32)"]),
        (["--steps", "0"], ["needs 1 steps or more, not 0"]),
        (["--coding", "hybrid", "--steps", "1"], ["needs 2 steps or more, not 1"]),
        (["--classes", "1"], ["--classes"]),
        (["--rounds", "0"], ["--rounds"]),
        (["--preset", "papper"], ["unknown preset 'papper'", "did you mean 'paper'?"]),
        (["--preset", "paper", "--steps", "3"], ["--steps and --preset contradict each other"]),
        (["--preset", "architectures", "--model", "mlp"], ["--model and --preset contradict"]),
    ],
)
def test_refusals(cli, arguments, says):
    result = cli("bench", *arguments)
    assert result.code == 2 and result.out == ""
    for text in says:
        assert text in result.err
    assert "Traceback" not in result.err


@pytest.mark.slow
def test_a_preset_shows_its_targets(cli, monkeypatch):
    """The cases of the paper are made small, so whether a target is met means nothing."""
    monkeypatch.setenv("COLUMNS", "80")
    make_paper_small(monkeypatch)
    monkeypatch.setattr(base, "find_spec", lambda name: None if name != "numba" else True)
    result = cli("bench", "--preset", "paper", "--quick", "-o", "paper.json")
    assert result.code == 0
    table = result.err[result.err.index("\ntargets") :]
    rows = [line for line in table.splitlines() if line.strip().startswith(("train", "infer"))]
    assert len(rows) >= 10 and max(map(len, rows[:10])) <= 80
    assert "train direct: asnn / relu" in table and "≤ 0.95" in table
    assert "train direct: spikingjelly / asnn: spikingjelly is not installed" in table


@pytest.mark.slow
def test_the_preset_of_architectures(cli, monkeypatch):
    pytest.importorskip("spikingjelly")
    small = [replace(case, in_shape=(1, 8, 8), steps=2, batch=2) for case in architectures.CASES]
    chosen = [("ms-resnet18-16", "direct"), ("spikformer", "hybrid")]
    cases = [case for case in small if (case.model, case.coding) in chosen]
    monkeypatch.setattr(architectures, "CASES", cases)
    result = cli("bench", "--preset", "architectures", "--quick", "--threads", "1", "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert found["command"].startswith("asnn bench --preset architectures --rounds 2 ")
    assert [target["what"] for target in found["targets"]] == [
        f"{model} {coding}: spikingjelly / asnn" for model, coding in chosen
    ]
    assert all(target["measured"] > 0 and not target["note"] for target in found["targets"])
    for case in found["cases"]:
        weights = [each["work"]["parameters"]["weights"] for each in case["contestants"].values()]
        assert len(weights) == 3 and len(set(weights)) == 1
