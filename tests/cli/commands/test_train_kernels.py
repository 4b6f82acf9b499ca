"""The choice of kernels on the command line, and the kernels that `asnn eval` reports."""

import json
import shutil

import pytest

from tests.support.command_line import TINY


def test_a_wrong_choice_of_kernels_is_a_fault_of_the_recipe(cli, tmp_path):
    result = cli("train", *TINY, "--set", "train.kernels=fast", "--out", "a")
    assert (result.code, result.out) == (2, "")
    assert "train.kernels" in result.err and "'reference'" in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("kernels", "used"), [("auto", "fused"), ("fused", "fused"), ("reference", "reference")]
)
def test_eval_reports_the_kernels_that_computed(cli, trained, tmp_path, kernels, used):
    pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    config = (run / "config.toml").read_text()
    assert 'kernels = "auto"' in config
    (run / "config.toml").write_text(config.replace('kernels = "auto"', f'kernels = "{kernels}"'))
    found = json.loads(cli("eval", run, "--json").out)
    assert found["kernels"] == used
