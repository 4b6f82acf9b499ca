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
    ("choices", "why"),
    [
        (["neuron.noise=logistic"], "neurons that draw their spikes"),
        (["model.neuron=iir"], "no fused kernel for Iir"),
        (["model.neuron=integrate", "neuron.gradient=representation", "coding.name=direct"], ""),
        (["model.neuron=integrate"], None),  # the negative control
        (["neuron.once=true"], None),
    ],
)
def test_fused_kernels_that_do_not_compute_the_network_are_refused_at_once(
    cli, tmp_path, choices, why
):
    pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")
    choices = [word for choice in ["train.kernels=fused", *choices] for word in ("--set", choice)]
    result = cli("train", *TINY, *choices, "--dry-run", "--out", "a")
    assert not (tmp_path / "a").exists()
    if why is None:
        assert result.code == 0, result.err
    else:
        assert (result.code, result.out) == (2, "")
        assert "the fused kernels cannot compute" in result.err and why in result.err
        assert "kernels 'auto'" in result.err


@pytest.mark.slow
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
