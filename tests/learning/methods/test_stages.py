"""A method of two stages with a state of its own: stopped anywhere, it ends with the same bytes."""

import json

import pytest
import torch

import asnn
from asnn.core import ConfigError
from asnn.learning import SilentObserver, check_recipe, train
from asnn.learning.checkpoints.resume import former_document
from asnn.learning.methods import Stage, create_method, method_registry
from tests.support.halves import Halves

CHANGES = {
    "train.epochs": 4,
    "data.limit": 60,
    "train.batch_size": 20,
    "train.lr": 0.02,
    "model.widths": [2],
    "model.hidden": 8,
    "neuron.gain": 3.0,  # otherwise so small a network does not spike yet
    "method.name": "halves",
}
CALLS = 18  # of `stop`: in each of four epochs three batches, a validation and its end


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    external = {"halves": type("Point", (), {"value": "x", "load": lambda self: Halves})()}
    monkeypatch.setitem(method_registry.__dict__, "_external", external)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        external = {"halves": type("Point", (), {"value": "x", "load": lambda self: Halves})()}
        patch.setitem(method_registry.__dict__, "_external", external)
        yield asnn.train("digits", out=tmp_path_factory.mktemp("whole") / "run", changes=CHANGES)


def lines(run):
    return [json.loads(line) for line in run.files.metrics.read_text().splitlines()]


def test_stages_are_named_and_the_best_is_of_the_last(whole):
    found = lines(whole)
    assert [line["stage"] for line in found] == ["all", "all", "readout", "readout"]
    best = json.loads(whole.files.summary.read_text())["best"]
    assert best["stage"] == "readout"
    accuracies = [line["validation_accuracy"] for line in found if line["stage"] == "readout"]
    assert best["validation_accuracy"] == max(accuracies)
    # Each stage has a cosine of its own.
    assert found[0]["lr"] == found[2]["lr"] and found[1]["lr"] == found[3]["lr"]
    assert found[1]["lr"] < found[0]["lr"]


@pytest.mark.slow
def test_frozen_layers_keep_weights_and_statistics(whole):
    model = whole.load_model()
    frozen = {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith("body.readout")
    }
    one = asnn.train(
        "digits",
        out=whole.path.parent / "one",
        changes={**CHANGES, "train.epochs": 3},
    )
    other = one.load_model().state_dict()
    assert frozen.keys() < other.keys()
    assert all(torch.equal(other[name], value) for name, value in frozen.items())
    # Negative control: the readout has learned on.
    name = "body.readout.linear.weight"
    assert not torch.equal(other[name], model.state_dict()[name])


@pytest.mark.slow
@pytest.mark.parametrize("call", range(CALLS))
def test_a_training_stopped_anywhere_ends_with_the_same_bytes(whole, tmp_path, call):
    calls = iter(range(10_000))
    part = asnn.train(
        "digits",
        out=tmp_path / "run",
        changes={**CHANGES, "train.checkpoint_steps": 1},
        stop=lambda: next(calls) >= call,
    )
    assert not part.files.finished
    again = asnn.train(resume=part.path)
    assert again.files.model.read_bytes() == whole.files.model.read_bytes()
    assert again.files.metrics.read_bytes() == whole.files.metrics.read_bytes()


@pytest.mark.slow
def test_a_training_stopped_between_two_stages_ends_with_the_same_bytes(whole, tmp_path):
    def stop():
        path = tmp_path / "run" / "metrics.jsonl"
        return path.exists() and len(path.read_text().splitlines()) == 2

    part = asnn.train("digits", out=tmp_path / "run", changes=CHANGES, stop=stop)
    assert [line["stage"] for line in lines(part)] == ["all", "all"]
    assert not part.files.model.exists()  # weights of an earlier stage are not the result
    again = asnn.train(resume=part.path)
    assert again.files.model.read_bytes() == whole.files.model.read_bytes()
    assert again.files.metrics.read_bytes() == whole.files.metrics.read_bytes()


def resume(run, epochs):
    document = former_document(run.files)
    document["train"]["epochs"] = epochs
    train(check_recipe(document), run.files, SilentObserver(), resume=True)


class Equal(Halves):
    """As many epochs for each half: more epochs are more for the first."""

    def stages(self, epochs):
        return [Stage("all", epochs // 2), Stage("readout", epochs - epochs // 2)]


@pytest.mark.slow
def test_more_epochs_of_a_stage_that_has_ended_are_refused_and_nothing_is_lost(
    tmp_path, monkeypatch
):
    equal = {"halves": type("Point", (), {"value": "x", "load": lambda self: Equal})()}
    monkeypatch.setitem(method_registry.__dict__, "_external", equal)
    run = asnn.train("digits", out=tmp_path / "run", changes={**CHANGES, "train.epochs": 2})
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    for epochs in (4, 6):
        with pytest.raises(ConfigError, match="stage 'all' of .* has ended") as caught:
            resume(run, epochs)
        assert caught.value.why == (
            f"its epochs were 1, and would be {epochs // 2} with train.epochs = {epochs}"
        )
        assert caught.value.remedy == "leave train.epochs at 2, or train anew without --resume"
    assert {path: path.read_bytes() for path in before} == before
    # Of three epochs the first stage has one, as it had.
    with pytest.warns(UserWarning, match="train.epochs 2 → 3"):
        resume(run, 3)
    assert [line["stage"] for line in lines(run)] == ["all", "readout", "readout"]


STARTED = {**CHANGES, "train.init": "ann", "train.ann_epochs": 1, "coding.name": "direct"}


@pytest.mark.slow
def test_a_start_is_not_the_result_of_two_stages_and_stops_end_with_the_same_bytes(tmp_path):
    """The counterpart learns by backpropagation in one stage; its weights start the first stage."""
    whole = asnn.train("digits", out=tmp_path / "whole", changes=STARTED)
    assert [line.get("stage") for line in lines(whole)] == [
        None,
        "all",
        "all",
        "readout",
        "readout",
    ]
    assert all("stage" not in line for line in lines(asnn.open_run(whole.path / "teacher")))
    assert json.loads(whole.files.summary.read_text())["best"]["stage"] == "readout"
    for call in (2, 5, 6, 9, 13, 15, 19, 22):
        calls = iter(range(10_000))
        part = asnn.train(
            "digits", out=tmp_path / f"{call}", changes=STARTED,
            stop=lambda calls=calls, call=call: next(calls) >= call,
        )  # fmt: skip
        assert not part.files.finished
        epochs = len(lines(part)) if part.files.metrics.exists() else 0
        assert part.files.model.exists() == (epochs > 3)
        again = asnn.train(resume=part.path)
        assert again.files.model.read_bytes() == whole.files.model.read_bytes()
        assert again.files.metrics.read_bytes() == whole.files.metrics.read_bytes()


@pytest.mark.slow
def test_a_lost_state_of_the_method_is_noticed(whole, tmp_path, monkeypatch):
    """Negative control: without its state the resumed training ends with other bytes."""
    calls = iter(range(10_000))
    part = asnn.train(
        "digits", out=tmp_path / "run", changes=CHANGES, stop=lambda: next(calls) >= 1
    )
    monkeypatch.setattr(Halves, "restore", lambda self, state: None)
    again = asnn.train(resume=part.path)
    assert again.files.model.read_bytes() != whole.files.model.read_bytes()


def test_options_are_checked():
    with pytest.raises(ConfigError, match="unknown method 'bpt'") as refused:
        create_method("bpt")
    assert "bptt" in refused.value.remedy
    with pytest.raises(ConfigError, match="option of method bptt"):
        create_method("bptt", first=1)
    assert create_method("bptt").stages(7) == [Stage("bptt", 7)]
