"""`asnn export --check` of changed files, and `--no-structure` in a process with limits."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import asnn


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run = asnn.train(
        "digits",
        out=folder / "run",
        changes={"train.epochs": 1, "data.limit": 60, "model.widths": [2], "model.hidden": 4},
    )
    asnn.export_onnx(run, folder / "model.onnx")
    return run, folder / "model.onnx"


def changed(exported, tmp_path, change):
    model = onnx.load(exported[1])
    change(model)
    path = tmp_path / "changed.onnx"
    onnx.save(model, path)
    return path


def other_classes(model):
    for entry in model.metadata_props:
        if entry.key == "classes":
            entry.value = json.dumps(list("9876543210"))


def loop(model):
    one = numpy_helper.from_array(np.int64(2**62), "many")
    yes = numpy_helper.from_array(np.array(True), "yes")
    model.graph.initializer.extend([one, yes])
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c_after"]),
         helper.make_node("Identity", ["y"], ["y_after"])], "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []),
         helper.make_tensor_value_info("c", TensorProto.BOOL, []),
         helper.make_tensor_value_info("y", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("c_after", TensorProto.BOOL, []),
         helper.make_tensor_value_info("y_after", TensorProto.BOOL, [])],
    )  # fmt: skip
    model.graph.node.append(helper.make_node("Loop", ["many", "yes", "yes"], ["z"], body=body))


@pytest.mark.slow
def test_a_changed_file_is_refused_with_the_place(exported, cli, tmp_path):
    run, path = exported
    assert cli("export", str(run.path), "--check", str(path)).code == 0
    refused = cli(
        "export", str(run.path), "--check", str(changed(exported, tmp_path, other_classes))
    )
    assert refused.code == 3 and "metadata 'classes'" in refused.err
    assert "is not what asnn exports of" in refused.err


@pytest.mark.slow
def test_without_the_structure_it_runs_in_a_process_with_limits(exported, cli, tmp_path):
    run, _ = exported
    path = changed(exported, tmp_path, other_classes)
    arguments = ["export", str(run.path), "--check", str(path), "--no-structure", "--samples", "8"]
    done = cli(*arguments, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["samples"]["number"] == 8
    path = changed(exported, tmp_path, loop)
    refused = cli(*arguments)
    assert refused.code == 4 and "the file has Loop" in refused.err


def test_it_goes_with_check_alone(exported, cli):
    refused = cli("export", str(exported[0].path), "--format", "onnx", "--no-structure")
    assert refused.code == 2 and "--no-structure goes with --check" in refused.err
