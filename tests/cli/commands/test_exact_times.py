"""Commands on runs of networks of exact times."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from asnn.cli.app import run
from asnn.coding import load_spikes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of small runs of one spike and of many spikes a neuron."""
    folder = tmp_path_factory.mktemp("times")
    former = os.getcwd()
    os.chdir(folder)
    digits = ("data.name=digits", "data.limit=60", "train.epochs=1", "model.features=[8]")
    points = ("data.limit=200", "train.epochs=1", "model.features=[12]")
    try:
        for recipe, settings in (("yin-yang", points), ("multi-spike", digits)):
            given = [part for each in settings for part in ("--set", each)]
            assert run(["train", recipe, *given, "--out", recipe]) == 0
    finally:
        os.chdir(former)
    return folder


def test_answers_have_times(cli, runs):
    np.save("x.npy", np.random.default_rng(0).random((3, 1, 1, 5), np.float32))
    lines = cli("predict", runs / "yin-yang", "x.npy", "--json").out.splitlines()
    found = [json.loads(line) for line in lines]
    shown = cli("predict", runs / "yin-yang", "x.npy").err
    table = cli("predict", runs / "yin-yang", "x.npy", "--csv", "-").out.splitlines()
    assert ",decided,time,spikes," in table[0]
    for each, row in zip(found, table[1:], strict=True):
        assert 0 < each["time"] < 40 and f"{each['time']:.4g}" in shown
        assert str(each["time"]) in row
    exported = cli("predict", runs / "yin-yang", "x.npy", "--json", "--runtime", "onnxruntime")
    for one, line in zip(found, exported.out.splitlines(), strict=True):
        other = json.loads(line)
        assert other["class"] == one["class"]
        assert other["time"] == pytest.approx(one["time"], rel=1e-5)


def test_the_file_of_many_spikes_answers_as_its_run_does(cli, runs):
    np.save("x.npy", np.random.default_rng(0).random((8, 1, 8, 8), np.float32))
    given = ("predict", runs / "multi-spike", "x.npy", "--json", "--top", "10")
    torch, onnx = (
        [json.loads(line) for line in cli(*given, *more).out.splitlines()]
        for more in ((), ("--runtime", "onnxruntime"))
    )
    for one, other in zip(torch, onnx, strict=True):
        shares = ({each["class"]: each["confidence"] for each in a["top"]} for a in (one, other))
        mine, its = shares
        # Its times are those of a clock: of 0.01, on which a time differs by about a step.
        assert max(abs(mine[name] - its[name]) for name in mine) < 0.1
        assert other["confidence"] > 0.1001  # at 0.1 all outputs were silent


def test_there_is_no_step_to_exit_at(cli, runs):
    for command in (("eval", runs / "yin-yang"), ("predict", runs / "yin-yang", "x.npy")):
        Path("x.npy").touch()
        result = cli(*command, "--exit", "confidence=0.9")
        assert result.code == 2 and "--exit is for networks of time steps" in result.err


def test_single_samples_are_timed(cli, runs):
    found = json.loads(cli("eval", runs / "yin-yang", "--latency", "--json").out)["latency"]
    assert list(found["ways"]) == ["eager", "fused", "onnxruntime"]
    assert all(way["differing"] == 0 for way in found["ways"].values())


def test_the_page_and_the_code_of_a_run(cli, runs):
    result = cli("report", runs / "yin-yang", "--json", "-o", "page.html")
    assert result.code == 0, result.err
    (found,) = json.loads(result.out)["runs"]
    assert found["spikes_to_decision"] <= found["spikes_per_sample"]
    assert "Accuracy, time and energy" in Path("page.html").read_text()
    assert cli("encode", runs / "yin-yang", "--limit", "4", "--plot", "x.png").code == 0
    assert load_spikes(Path("yin-yang.times.npz")).code.shape == (1, 4, 1, 1, 5, 1)
    assert Path("x.png").is_file()
