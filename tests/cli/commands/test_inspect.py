"""`asnn inspect`: tables and JSON of files and runs, warnings, refusals."""

import json
import os
import shutil
from pathlib import Path

import nir
import numpy as np
import pytest

from asnn.records.layout import Run
from asnn.records.record import read_exports
from tests.formats.events import encoders
from tests.support import format_files
from tests.support.forked import forked_scan as forked_scan
from tests.support.hostile_formats import HOSTILE


def tables_fit(text: str) -> bool:
    lines = text.splitlines()
    return all(len(line) <= 80 for line in lines if not line.startswith(("warning:", "/", "runs")))


def test_a_run(cli, trained):
    result = cli("inspect", trained, "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert (found["kind"], found["recipe"], found["finished"]) == ("run", "digits", True)
    assert found["coding"]["name"] == "hybrid" and found["steps"] == 4
    assert found["parameters"] == json.loads((trained / "summary.json").read_text())["parameters"]
    assert found["files"]["model.safetensors"] == (trained / "model.safetensors").stat().st_size
    shapes = {layer["name"]: layer["shapes"] for layer in found["layers"]}
    assert shapes["conv1"]["analog.weight"] == [4, 1, 3, 3]
    assert shapes["readout"]["linear.weight"] == [10, 16]


def test_schedules_are_those_of_the_loaded_network(cli, trained):
    from asnn.measure import schedules
    from asnn.models import load_run

    found = json.loads(cli("inspect", trained, "--json").out)["schedules"]
    for layer, by_name in schedules(load_run(trained)).items():
        for name, values in by_name.items():
            assert found[layer][name] == pytest.approx(values)


@pytest.mark.slow
def test_tables_go_to_stderr_and_fit_80_columns(cli, trained):
    format_files.write_nir(Path("m.nir"))
    Path("m.onnx").write_bytes(format_files.onnx_model().SerializeToString())
    Path("w.bin").write_bytes(format_files.WEIGHTS)
    Path("a.npz").write_bytes(format_files.npz_bytes())
    for path, says in (
        (trained, ["digits", "leak spikes1", "t=4", "model.safetensors", "finished"]),
        (trained / "model.safetensors", ["body.conv1.analog.weight", "lenet"]),
        ("m.nir", ["NIR 1.0.8, 6 nodes, 5 edges", "LIF", "0.0002", "[4, 8, 8]", "dt"]),
        ("m.onnx", ["opset ai.onnx 20", "Gemm", "[N, 3]", "16 parameters"]),
        ("w.bin", ["safetensors, 2 tensors, 8 values", "made by"]),
        ("a.npz", ["float64", "[2, 3]"]),
    ):
        result = cli("inspect", path)
        assert (result.code, result.out) == (0, ""), result.err
        assert all(text in result.err for text in says), result.err
        assert tables_fit(result.err)


def test_the_newest_run_by_default(cli, trained, tmp_path):
    for name, age in (("old", 50), ("new", 0)):
        shutil.copytree(trained, tmp_path / "runs" / name)
        stamp = os.stat(trained / "config.toml").st_mtime - age
        os.utime(tmp_path / "runs" / name / "config.toml", (stamp, stamp))
    assert json.loads(cli("inspect", "--json").out)["path"] == "runs/new"
    assert json.loads(cli("inspect", "runs/latest", "--json").out)["path"] == "runs/new"


def test_exports_of_a_run_with_their_state(cli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    for name, parity in (("onnx", {"verified": True, "samples": {"number": 5}}), ("nir", None)):
        (run / "export" / name).mkdir(parents=True)
        (run / "export" / name / f"model.{name}").write_bytes(b"x" * 10)
        if parity:
            (run / "export" / name / "parity.json").write_text(json.dumps(parity))
    for name in (".git", ".onnx.x.part"):  # no exports
        shutil.copytree(run / "export" / "onnx", run / "export" / name)
    found = json.loads(cli("inspect", run, "--json").out)
    states = {e["folder"]: (e["verified"], e["samples"]) for e in found["exports"]}
    assert states == {"export/onnx": (True, 5), "export/nir": (None, None)}
    assert found["warnings"] == [
        "the export in export/nir is not verified",
        "the export in export/onnx was verified; whether its files or the weights have changed "
        "since is not known",
    ]
    assert "export/onnx/model.onnx" in cli("inspect", run).err
    assert list(read_exports(Run(run))) == ["onnx"]


def test_a_run_without_weights(cli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "model.safetensors").unlink()
    result = cli("inspect", run)
    assert result.code == 0 and "warning: it has no trained weights yet" in result.err


def test_spike_files(cli):
    assert cli("encode", "--dataset", "digits", "--limit", "3", "-o", "s.npz").code == 0
    found = json.loads(cli("inspect", "s.npz", "--json").out)
    assert found["arrays"]["spikes"]["dtype"] == "uint8"
    assert json.loads(found["spikes"])["format"] == 1


def test_what_a_spike_file_says_of_itself_is_shown(cli, tmp_path):
    (tmp_path / "a.es").write_bytes(encoders.event_stream([(5, 3, 2, 1), (9, 0, 7, 0)]))
    assert cli("encode", "a.es", "--coding", "voxel", "--steps", "3").code == 0
    shown = cli("inspect", "a.voxel.npz").err
    rows = [line.split(maxsplit=1) for line in shown.splitlines()]
    assert ["coding", "voxel"] in [[each.strip() for each in row] for row in rows]
    for says in ("input: kind", "events", "input: duration", "[2, 240, 320]", "sample, polarity"):
        assert says in shown
    assert tables_fit(shown)
    for meta in ("no [red] JSON", "[1]", '{"input": [3]}', '{"input": "\x1b"}'):
        arrays = {"spikes": np.zeros(1, "u1"), "shape": np.array([1]), "meta": np.array(meta)}
        np.savez("b.npz", **arrays)
        result = cli("inspect", "b.npz")
        assert result.code == 0 and "spikes of `asnn encode`" in result.err
        assert "\x1b" not in result.err


def test_recordings_of_events(cli, tmp_path):
    events = [(5, 3, 2, 1), (9, 0, 7, 0), (70_005, 12, 12, 1)]
    (tmp_path / "a.es").write_bytes(encoders.event_stream(events))
    result = cli("inspect", "a.es")
    assert (result.code, result.out) == (0, "")
    shown = ["Event Stream recording, 3 events", "0.005 ms to 70.005 ms", "43 events/s"]
    shown += ["0 to 12", "240 x 320 (height x width)", "66.7%"]
    assert all(text in result.err for text in shown), result.err
    assert tables_fit(result.err)
    (tmp_path / "a.es").write_bytes(encoders.event_stream(events)[:-2])
    result = cli("inspect", "a.es", "--json")
    assert (result.code, result.out) == (4, "") and "ends too early" in result.err


def test_a_file_of_many_recordings(cli, tmp_path):
    events = [(5, 3, 2, 1), (9, 0, 7, 0), (7, 12, 12, 1)]
    names = np.array(["[red]", "\x1b[2J"])
    content = encoders.npz(
        events, offsets=np.array([0, 2, 3]), labels=np.array([0, 1]), class_names=names
    )
    (tmp_path / "many.npz").write_bytes(content)
    result = cli("inspect", "many.npz")
    for says in ("3 events in 2 recordings", "1 to 2", "[red]", r"\x1b[2J", "not stated"):
        assert says in result.err
    assert "\x1b" not in result.err and tables_fit(result.err)
    found = json.loads(cli("inspect", "many.npz", "--json").out)
    assert found["recordings"] == 2 and list(found["labels"].values()) == [1, 1]


@pytest.mark.slow
def test_warnings_are_shown(cli):
    integrator = nir.IF(*np.ones((2, 3), "f4"))
    nodes = {"in": nir.Input(np.array([3])), "if": integrator, "out": nir.Output(np.array([3]))}
    nir.write("m.nir", format_files.nir_graph(nodes))
    result = cli("inspect", "m.nir")
    assert (
        result.code == 0
        and "warning: snntorch 1.0.0 does not run it exactly: it does not read IF" in result.err
    )


def test_ranges_of_layers_are_shown(cli):
    tau, one = np.array([1, 2, 3], "f4"), np.ones(3, "f4")
    lif = nir.LIF(tau, one, 0 * one, one, 0 * one)
    nodes = {"in": nir.Input(np.array([3])), "lif": lif, "out": nir.Output(np.array([3]))}
    nir.write("m.nir", format_files.nir_graph(nodes))
    assert "1..3" in cli("inspect", "m.nir").err


@pytest.mark.slow
def test_names_in_files_are_printed_without_markup_and_control_sequences(cli):
    nodes = {"[red]": nir.Input(np.array([3])), "\x1b[2J": nir.Output(np.array([3]))}
    nir.write("m.nir", format_files.nir_graph(nodes))
    model = format_files.onnx_model(producer_name="[/red] \x1b[2J", doc_string="two\nlines")
    model.metadata_props.add(key="[/bold]", value="\x1b[31m")
    Path("m.onnx").write_bytes(model.SerializeToString())
    for path, says in (("m.nir", "[red]"), ("m.onnx", "[/bold]"), ("m.onnx", "two lines")):
        result = cli("inspect", path)
        assert result.code == 0 and says in result.err and r"\x1b[2J" in result.err
        assert "\x1b" not in result.err


@pytest.mark.slow
@pytest.mark.usefixtures("forked_scan")
@pytest.mark.parametrize("case", HOSTILE, ids=" ".join)
def test_hostile_files_end_with_exit_code_4(case, cli, tmp_path):
    path = tmp_path / f"file{case[1]}"
    HOSTILE[case][0](path)
    result = cli("inspect", path, "--json")
    assert result.code == 4 and result.out == ""
    assert result.err.startswith("error: ") and "Traceback" not in result.err
    assert len(result.err.splitlines()) <= 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.nir"], ["there is no nowhere.nir", "give the path of a file"]),
        ([], ["there is no trained run in runs/", "asnn train"]),
        (["."], ["is not a run", "config.toml"]),
    ],
)
def test_wrong_paths(cli, arguments, says):
    result = cli("inspect", *arguments)
    assert result.code == 4 and all(text in result.err for text in says)


def test_damaged_runs(cli, trained, tmp_path):
    for name, content, says in (
        ("config.toml", b"= nothing", "is not a readable recipe"),
        ("model.safetensors", b"x" * 50, "is not a readable safetensors file"),
        ("model.safetensors", format_files.WEIGHTS, "has changed since it was trained"),
    ):
        run = tmp_path / says.replace(" ", "-")
        shutil.copytree(trained, run)
        (run / name).write_bytes(content)
        result = cli("inspect", run)
        assert result.code == 4 and says in result.err and "Traceback" not in result.err
    (run / "summary.json").unlink()  # nothing states the weights
    assert "was not written by asnn" in cli("inspect", run).err


def test_a_configuration_that_was_edited_is_named(cli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    config = (run / "config.toml").read_text()
    steps = json.loads(cli("inspect", run, "--json").out)["coding"]["steps"]
    (run / "config.toml").write_text(config.replace(f"steps = {steps}", f"steps = {steps + 1}"))
    found = json.loads(cli("inspect", run, "--json").out)
    assert found["coding"]["steps"] == steps
    said = f"coding.steps is {steps + 1}, in the training {steps}"
    assert any(said in text for text in found["warnings"])
    assert said in " ".join(cli("runs", "list", ".").err.split())
    for verb in (["eval"], ["export", "--format", "onnx"], ["report"]):
        refused = cli(*verb, run)
        assert refused.code == 4 and said in refused.err
