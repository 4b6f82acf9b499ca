"""`asnn eval --corrupt`: its values, its tables, and its effect on a trained network."""

import json
import os

import pytest
from PIL import Image

from asnn.cli.app import run
from asnn.cli.commands.eval.corrupt import read_corruptions, show_robustness
from asnn.coding.samples import SampleSpec
from asnn.core import AsnnError, ConfigError
from asnn.datasets import load_dataset
from asnn.measure import evaluate
from asnn.measure.figures.robustness import draw_robustness
from asnn.measure.robustness.corruptions import corruption_registry, robustness
from asnn.models import create_model, load_run
from tests.support.small_lenet import NAMES

TIMES = [name for name in corruption_registry.builtin if name.startswith("time-")]
OTHERS = [name for name in corruption_registry.builtin if name not in [*NAMES, *TIMES]]
OF_TIMES = f"left out: {', '.join(TIMES)}: the network has time steps, and no exact times\n"
OPTIONS = {"classes": 10, "full_scale": 16}
HARD = {
    "gaussian-noise": 0.4,
    "salt-and-pepper": 0.3,
    "blur": 1,
    "contrast": 0.85,
    "spike-drop": 0.5,
    "spike-jitter": 2,
    "quantize": 2,
    "dead-neurons": 0.5,
}


def network(coding="hybrid"):
    return create_model("mlp", in_shape=(1, 4, 4), classes=2, features=[3], coding=coding, steps=3)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A network trained on the digits, its test data, and its results under hard corruptions."""
    path = tmp_path_factory.mktemp("digits") / "run"
    settings = ("coding.name=temporal", "train.epochs=10", "model.widths=[8,16]", "model.hidden=32")
    changes = [part for setting in settings for part in ("--set", setting)]
    assert run(["train", *changes, "--out", str(path)]) == 0
    model, split = load_run(path), load_dataset("digits").test
    return model, split, robustness(model, split, {n: [s] for n, s in HARD.items()}, **OPTIONS)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["blur=1.5"], {"blur": [1.5]}),
        (["blur=1.5,2", "contrast"], {"blur": [1.5, 2], "contrast": [0.25, 0.5, 0.6, 0.7, 0.85]}),
        (["quantize"], {"quantize": [8, 6, 4]}),
        (["quantize=0,3"], {"quantize": [0, 3]}),
        (["blur=1", "blur=2"], {"blur": [1, 2]}),
    ],
)
def test_values_of_the_option(texts, expected):
    assert read_corruptions(texts, network()) == expected


def test_all_means_every_corruption_that_applies(capsys):
    found = read_corruptions(["all", "blur=2"], network())
    assert list(found) == NAMES
    assert found["blur"] == [2]
    assert found["quantize"] == [8, 6, 4]
    others = f"left out: {', '.join(OTHERS)}: the samples are images\n"
    assert capsys.readouterr().err == others + OF_TIMES
    found = read_corruptions(["all"], network("direct"))
    assert list(found) == [name for name in NAMES if not name.startswith("spike")]
    assert capsys.readouterr().err == others + (
        "left out: spike-drop, spike-jitter: the code 'direct' has no spikes to corrupt\n"
        + OF_TIMES
    )


def test_all_takes_those_of_events(capsys):
    sample = SampleSpec("events", (2, 4, 4), duration=1_000)
    model = create_model(
        "mlp", in_shape=(2, 4, 4), classes=2, features=[3], coding="frames", steps=3, sample=sample
    )
    found = read_corruptions(["all"], model)
    of_images = ["gaussian-noise", "salt-and-pepper", "blur", "contrast"]
    others = [*of_images, "series-noise", "series-drop", "series-shuffle"]
    left_out = [*others, *TIMES]
    assert list(found) == [name for name in corruption_registry.builtin if name not in left_out]
    assert found["event-jitter"] == [1, 2, 5, 10, 20]
    err = capsys.readouterr().err
    assert err == f"left out: {', '.join(others)}: the samples are events\n{OF_TIMES}"
    with pytest.raises(ConfigError) as caught:
        read_corruptions(["gaussian-noise", "event-drop=2"], model)
    assert caught.value.why.splitlines() == [
        "gaussian-noise corrupts images, the samples are events",
        "the severity of event-drop must be from 0 to 1, not 2: it is the share of the events that "
        "are lost; 0 is clean",
    ]
    assert caught.value.remedy.endswith("choose from " + ", ".join(found))


def test_all_faults_are_reported_at_once():
    texts = [
        "blurr=1",
        "contrast=0.5,2,dim",
        "spike-drop",
        "event-drop",
        "quantize=5.5",
        "all=1",
        "blur=",
    ]
    with pytest.raises(ConfigError) as caught:
        read_corruptions(texts, network("direct"))
    assert caught.value.what == "--corrupt has 8 faults"
    for line, part in zip(
        caught.value.why.splitlines(),
        [
            "unknown corruption 'blurr'; did you mean 'blur'?",
            "the severity of contrast must be from 0 to 1, not 2",
            "the severity of contrast must be a number, not 'dim'",
            "spike-drop corrupts spikes, the code 'direct' has no spikes to corrupt",
            "event-drop corrupts events, the samples are images",
            "the severity of quantize must be a whole number from 2 to 16, not 5.5",
            "all=1: all takes no severity",
            "the severity of blur must be a number, not ''",
        ],
        strict=True,
    ):
        assert part in line
    assert "NAME=SEVERITY" in caught.value.remedy
    fits = [name for name in NAMES if not name.startswith("spike")]
    assert caught.value.remedy.endswith("choose from " + ", ".join(fits))


@pytest.mark.slow
def test_hard_corruptions_harm_a_trained_network(measured):
    model, split, rows = measured
    clean = evaluate(model, split, **OPTIONS).accuracy
    assert clean > 0.6
    assert {row["corruption"] for row in rows} == set(NAMES)
    for before, after in zip(rows[::2], rows[1::2], strict=True):
        assert before["accuracy"] == clean
        assert after["accuracy"] < clean - 0.1, after["corruption"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "severities"),
    [("salt-and-pepper", [0.3, 0.9]), ("dead-neurons", [0.5, 0.9]), ("spike-drop", [0.5, 1])],
)
def test_more_is_worse(measured, name, severities):
    model, split, _ = measured
    rows = robustness(model, split, {name: severities}, **OPTIONS)
    clean, hard, harder = (row["accuracy"] for row in rows)
    assert clean > hard > harder


def test_tables_fit_and_show_the_loss_of_accuracy(measured, capsys):
    *_, rows = measured
    show_robustness(rows)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert max(map(len, captured.err.splitlines())) <= 80
    for clean, row in zip(rows[::2], rows[1::2], strict=True):
        title = f"{row['corruption']}: {corruption_registry.get(row['corruption']).unit}"
        assert title in captured.err
        assert f"{100 * row['accuracy']:.2f}" in captured.err
        assert f"{100 * (row['accuracy'] - clean['accuracy']):+.2f}" in captured.err
    json.dumps(rows, allow_nan=False)


def test_many_severities_are_split_into_several_tables(capsys):
    one = {"corruption": "blur", "accuracy": 1.0, "spike_rate": 0.5}
    show_robustness([{**one, "severity": 10.25 + k if k else 0} for k in range(20)])
    err = capsys.readouterr().err
    assert max(map(len, err.splitlines())) <= 80
    assert err.count("blur: deviation of the Gaussian") == 4
    assert all(f"{10.25 + k:g}" in err for k in range(1, 20))


@pytest.mark.slow
def test_the_picture_has_a_panel_for_each_corruption(measured, tmp_path):
    *_, rows = measured
    path = tmp_path / "robustness.png"
    sizes = []
    for count in (1, 2, 8):
        draw_robustness(path, {"run": rows[: 2 * count]})
        with Image.open(path) as picture:
            sizes.append(picture.size)
    assert sizes[0][0] < sizes[1][0] < sizes[2][0]
    assert sizes[1][1] < sizes[2][1]
    draw_robustness(path, {"run": rows, "other": rows[:2]})  # with a legend
    with Image.open(path) as picture:
        assert picture.size == sizes[2]
    assert os.listdir(tmp_path) == ["robustness.png"]


@pytest.mark.slow
def test_a_picture_that_cannot_be_written_is_an_error(measured, tmp_path):
    *_, rows = measured
    with pytest.raises(AsnnError, match="could not write"):
        draw_robustness(tmp_path / "missing" / "robustness.png", {"run": rows})
