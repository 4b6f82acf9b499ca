"""How many samples an export is verified on, and its form with many steps."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from asnn.cli.commands.export.amount import parse_samples, samples_for
from asnn.cli.commands.export.command import MAX_SEQUENCE
from asnn.core.errors import ConfigError
from asnn.exporters.verification import amount

NETS = """
import torch, snntorch as snn
from torch import nn

def make():
    torch.manual_seed(0)
    lif = [snn.Leaky(beta=0.5, threshold=0.3, init_hidden=True) for _ in range(2)]
    return nn.Sequential(nn.Linear(6, 5), lif[0], nn.Linear(5, 3), lif[1]).eval(), (6,)
"""


def test_numbers_of_samples() -> None:
    assert [parse_samples(text) for text in (None, "7", "all")] == [None, 7, sys.maxsize]
    for text in ("0", "-1", "many", "1.5", ""):
        with pytest.raises(ConfigError, match="--samples takes a number from 1, or all"):
            parse_samples(text)


def test_the_default_is_lower_for_large_networks(monkeypatch, capsys) -> None:
    small = SimpleNamespace(graph=SimpleNamespace(steps=1, shapes={"input": (4,)}))
    assert samples_for(small, None) == amount.MAX_SAMPLES
    assert samples_for(small, None, noise=True) == 64
    assert samples_for(small, 10**6) == 10**6
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(amount, "VALUES", 4 * 20)
    assert samples_for(small, None) == samples_for(small, None, noise=True) == 20
    said = capsys.readouterr().err
    assert "note: at most 20 samples" in said and "--samples all verifies on more" in said
    assert samples_for(small, sys.maxsize) == sys.maxsize
    with pytest.raises(ConfigError, match="--samples all needs data"):
        samples_for(small, sys.maxsize, noise=True)


@pytest.mark.slow
def test_all_samples_of_a_file(cli, tmp_path) -> None:
    (tmp_path / "nets_of_amounts.py").write_text(NETS)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((700, 6), np.float32))
    line = ("export", "--from", "nets_of_amounts:make", "--steps", "3", "-f", "onnx", "--json")
    for options, number in (((), 512), (("--samples", "all"), 700), (("--samples", "9"), 9)):
        done = cli(*line, "--samples-from", "x.npy", *options)
        assert done.code == 0, done.err
        assert json.loads(done.out)["samples"]["number"] == number
    done = cli(*line, "--samples", "some")
    assert done.code == 2 and "--samples takes a number" in done.err


@pytest.mark.slow
def test_many_steps_are_a_stream(cli, tmp_path) -> None:
    (tmp_path / "nets_of_amounts.py").write_text(NETS)
    line = ("export", "--from", "nets_of_amounts:make", "-f", "onnx", "--json", "--samples", "2")
    for steps, form, names in (
        (MAX_SEQUENCE + 1, (), ["model-init.onnx", "model-step.onnx"]),
        (MAX_SEQUENCE + 1, ("--form", "sequence"), ["model.onnx"]),
        (MAX_SEQUENCE, (), ["model.onnx"]),
    ):
        done = cli(*line, "--steps", steps, *form)
        assert done.code == 0, done.err
        files = [path.rpartition("/")[2] for path in json.loads(done.out)["files"]]
        assert files == names
        assert ("note: stream, two files" in done.err) == (len(names) == 2)
