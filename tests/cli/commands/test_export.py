"""`asnn export`: verified files of a run, and the exit codes of failures."""

import json
import shutil

import h5py
import onnx
import pytest

from asnn.cli.app import run as asnn
from asnn.exporters import Exported
from asnn.exporters import export as exporting
from asnn.exporters.onnx import export as onnx_export
from tests.support.command_line import TINY


@pytest.fixture(scope="module")
def spiking(tmp_path_factory):
    """A run whose layers all spike."""
    folder = tmp_path_factory.mktemp("spiking") / "run"
    settings = [*TINY, "--set", "train.epochs=6", "--set", "data.limit=700"]
    assert asnn(["train", *settings, "--set", "train.lr=0.01", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run(spiking, tmp_path):
    """A copy of the run, since exports are written into it."""
    shutil.copytree(spiking, tmp_path / "run")
    return tmp_path / "run"


def exported(cli, *arguments):
    result = cli("export", *arguments, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "nir"])
def test_all_test_samples_agree(cli, run, format):
    found = exported(cli, run, "--format", format)
    assert found["verified"] is True
    assert found["samples"] == {"from": "359 test samples of digits", "number": 359}
    for runtime in found["runtimes"]:
        assert runtime["greatest_logit_difference"] <= 1e-5
        assert runtime["argmax_agreement"] == 1
        assert runtime["agrees"]
    assert all(found["spikes_per_sample"].values())
    folder = run / "export" / format
    assert sorted(path.name for path in folder.iterdir()) == (
        ["model.onnx", "parity.json"]
        if format == "onnx"
        else ["model.golden.nir", "model.nir", "parity.json"]
    )
    parity = json.loads((folder / "parity.json").read_text())
    assert parity["verified"] is True
    assert parity["parity_format"] == 1


@pytest.mark.slow
def test_exports_lie_beside_each_other(cli, run):
    """Other options have another folder, and replacing says so."""
    root = run / "export"
    few = ("--samples", "4")
    first = exported(cli, run, "-f", "onnx", "--weights", "int8", *few)
    made = root / "onnx-int8" / "model.onnx"
    content = made.read_bytes()
    assert not [note for note in first["notes"] if "replaces" in note]
    assert sorted(path.name for path in made.parent.iterdir()) == ["model.onnx", "parity.json"]
    exported(cli, run, "-f", "onnx", "--form", "stream", *few)
    # Options that are the default ones name no folder of their own.
    exported(
        cli, run, "-f", "onnx", "--form", "sequence", "--input", "image", "--opset", "20", *few
    )
    again = exported(cli, run, "-f", "onnx", *few)
    replaced = f"it replaces the earlier export in {root / 'onnx'}: model.onnx"
    assert again["notes"] == [replaced]
    assert {"onnx", "onnx-int8", "onnx-stream"} <= {path.name for path in root.iterdir()}
    assert made.read_bytes() == content
    found = json.loads(cli("inspect", run, "--json").out)["exports"]
    states = {export["folder"]: export["state"] for export in found}
    assert states["export/onnx-int8"] == states["export/onnx-stream"] == "verified"
    shown = cli("inspect", made)
    assert shown.code == 0 and "warning" not in shown.err
    made.write_bytes(content + b"\0")  # the negative control
    assert "has changed since it was verified" in cli("inspect", run).err


@pytest.mark.slow
def test_a_table_for_people(cli, run):
    result = cli("export", run, "--format", "onnx", "--samples", "20")
    assert result.code == 0
    assert result.out == ""
    assert "20 test samples of digits" in result.err
    assert "onnxruntime" in result.err
    assert "model.onnx" in result.err
    assert all(len(line) <= 80 for line in result.err.splitlines() if "─" in line)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--form", "stream", "--weights", "int8"),
        ("--form", "scan", "--input", "spikes"),
        ("--opset", "17", "--weights", "fp16"),
    ],
)
def test_forms_of_onnx(cli, run, options):
    found = exported(cli, run, "-f", "onnx", *options, "--samples", "40", "-o", run / "out")
    assert found["verified"] is True
    assert len(found["files"]) == (2 if "stream" in options else 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--form", "pure"),
        ("--target", "snntorch"),
        ("--nir-compat", "1.0.4"),
    ],
)
def test_forms_of_nir(cli, run, options):
    found = exported(cli, run, "-f", "nir", *options, "--samples", "40", "-o", run / "a.nir")
    assert found["verified"] is True
    assert str(run / "a.nir") in found["files"]


@pytest.mark.slow
def test_plain_training_gives_a_plain_file(cli):
    settings = {
        "train.epochs": 2,
        "data.limit": 200,
        "model.widths": "[4,8]",
        "model.hidden": 16,
        "coding.name": "temporal",
        "neuron.schedule": "shared",
        "neuron.bounded": "true",
        "neuron.reset": "zero",
        "model.output_scale": "false",
    }
    flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    assert cli("train", *flags, "--out", "plain").code == 0
    found = exported(cli, "plain", "-f", "nir", "--form", "lif", "--target", "spikingjelly")
    assert found["verified"] is True
    names = {runtime["runtime"] for runtime in found["runtimes"]}
    assert {"torch", "numpy, from the file", "snntorch"} <= names
    with h5py.File("plain/export/nir-lif-spikingjelly/model.nir") as file:
        kinds = [node["type"][()] for node in file["node/nodes"].values()]
        assert kinds.count(b"Conv2d") == 2
    evaluated = json.loads(cli("eval", "plain", "--json").out)
    assert len(evaluated["schedules"]["spikes1"]["leak"]) == 1


def test_an_inexact_export_is_refused_and_an_alternative_named(cli, run):
    result = cli("export", run, "-f", "nir", "--form", "lif")
    assert result.code == 2
    assert "one LIF node cannot express layer" in result.err
    assert "--allow-approximate" in result.err


@pytest.mark.slow
def test_a_file_that_computes_something_else_is_refused(cli, run, monkeypatch):
    genuine = onnx_export.build_models

    def build(graph, *arguments, **options):
        nodes = {node.name: node for node in graph.nodes}
        leak = nodes["spikes2"].leak + 1
        changed = type(nodes["spikes2"])(**{**vars(nodes["spikes2"]), "leak": leak})
        return genuine(graph.with_nodes({"spikes2": changed}), *arguments, **options)

    monkeypatch.setattr(onnx_export, "build_models", build)
    result = cli("export", run, "--format", "onnx")
    assert result.code == 3
    assert "does not compute what the network does" in result.err
    assert "layer spikes2, step 1" in result.err
    assert "Traceback" not in result.err
    names = sorted(path.name for path in (run / "export" / "onnx").iterdir())
    assert names == ["model.onnx.unverified", "parity.json"]


@pytest.mark.slow
def test_an_earlier_export_is_checked(cli, run):
    assert cli("export", run, "-f", "onnx", "--no-verify", "-o", "model.onnx").code == 0
    result = cli("export", run, "--check", "model.onnx", "--json")
    assert result.code == 0
    assert json.loads(result.out)["verified"] is True
    model = onnx.load("model.onnx")
    for tensor in model.graph.initializer:
        if tensor.name == "readout.bias":
            values = onnx.numpy_helper.to_array(tensor) + 1
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, "model.onnx")
    result = cli("export", run, "--check", "model.onnx")
    assert result.code == 3
    assert "initializer 'readout.bias' differs" in result.err


@pytest.mark.slow
def test_silent_layers_are_reported(cli):
    silent = ("--set", "neuron.threshold=50", "--out", "silent")
    assert cli("train", *TINY, *silent).code == 0
    found = exported(cli, "silent", "--format", "onnx", "-o", "silent.onnx")
    assert found["layers_without_variety"]
    checked = cli("export", "silent", "--check", "silent.onnx")
    assert "fires never or always on these samples" in checked.err


def test_an_exporter_of_another_package(cli, run, monkeypatch):
    def export(subject, path, *, samples):
        path.mkdir(parents=True)
        (path / "model.txt").write_text(str(len(subject.graph.nodes)))
        return Exported({path / "model.txt": 1}, None, None, ["not compared"])

    monkeypatch.setattr(exporting, "export_text", export, raising=False)
    monkeypatch.setitem(exporting.exporter_registry.builtin, "text", "exporters.export:export_text")
    found = exported(cli, run, "-f", "text")
    assert found["notes"] == ["not compared"]
    assert (run / "export" / "text" / "model.txt").exists()
    assert "--opset does not go with" in cli("export", run, "-f", "text", "--opset", "20").err


def test_without_verification(cli, run):
    found = exported(cli, run, "--format", "onnx", "--no-verify")
    assert found["verified"] is None
    assert found["parity"] is None
    about = {
        entry.key: entry.value
        for entry in onnx.load(run / "export" / "onnx" / "model.onnx").metadata_props
    }
    assert about["verification"] == "skipped"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "--format is missing"),
        (("-f", "onx"), 2, "did you mean 'onnx'?"),
        (("-f", "onnx", "--form", "portable"), 2, "unknown --form of onnx 'portable'"),
        (("-f", "nir", "--form", "sequence"), 2, "unknown --form of nir"),
        (("-f", "nir", "--opset", "20"), 2, "--opset does not go with --format nir"),
        (("-f", "nir", "--input", "image"), 2, "NIR has no nodes that encode an image"),
        (("-f", "onnx", "--target", "norse"), 2, "--target does not go with --format onnx"),
        (("-f", "onnx", "--opset", "12"), 2, "opset 12 is not supported"),
        (("-f", "onnx", "--weights", "int4"), 2, "unknown --weights"),
        (("-f", "nir", "--target", "nengo"), 2, "unknown target 'nengo'"),
        (("-f", "nir", "--target", "norse"), 2, "norse 1.1.0 would not run this file exactly"),
        (("-f", "nir", "--nir-compat", "0.9"), 2, "choose from 1.0.4"),
        (("--check", "nowhere.onnx"), 4, "there is no file nowhere.onnx"),
        (("-f", "onnx", "--check", "a.onnx"), 2, "--check goes without --format"),
        (("-f", "onnx", "--split", "tset"), 2, "split"),
        (("-f", "onnx", "-o", "a.nir"), 2, "a.nir would be a file of another format"),
    ],
)
def test_wrong_options(cli, run, arguments, code, message):
    result = cli("export", run, *arguments)
    assert result.code == code
    assert message in result.err
    assert "Traceback" not in result.err


@pytest.mark.slow
def test_the_step_of_exact_times(cli, run):
    """`--dt` is that of a file of neurons that fire many times; other networks refuse it."""
    settings = ("data.name=digits", "data.limit=60", "train.epochs=1", "model.features=[8]")
    given = [part for each in settings for part in ("--set", each)]
    for recipe in ("multi-spike", "rel-psp"):
        assert cli("train", recipe, *given, "--out", recipe).code == 0
    onnx_file = "multi-spike/export/onnx-stream-dt0.01/model-init.onnx"
    options = ("-f", "onnx", "--form", "stream", "--dt", "0.01", "--samples", "4")
    assert onnx_file in exported(cli, "multi-spike", *options)["files"]
    assert cli("export", "multi-spike", "--check", onnx_file, "--samples", "4").code == 0
    other = cli("export", "multi-spike", "--check", onnx_file, "--dt", "0.02", "--samples", "4")
    assert other.code == 3
    assert "metadata 'steps' is '31', not '16'" in other.err
    for network, text in (("rel-psp", "has no steps, and dt"), (run, "has no exact times")):
        refused = cli("export", network, "-f", "onnx", "--dt", "0.01")
        assert refused.code == 2
        assert text in refused.err


def test_no_run(cli):
    result = cli("export", "--format", "onnx")
    assert result.code == 4
    assert "asnn train" in result.err
