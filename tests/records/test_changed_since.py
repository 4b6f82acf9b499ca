"""Weights and configurations that changed after the training, and those that did not."""

import hashlib
import json
import random
import shutil
import warnings

import pytest

from asnn.core.errors import DataError
from asnn.learning import check_recipe, loop, train
from asnn.learning.observer import SilentObserver
from asnn.models import load_run
from asnn.records.edits import Edits, find_edits
from asnn.records.layout import Run
from asnn.records.open_run import open_run
from asnn.records.record import read_record

RECIPE = {
    "name": "small",
    "data": {"name": "digits", "limit": 60},
    "coding": {"name": "hybrid", "steps": 2},
    "model": {"name": "mlp", "features": [8]},
    "train": {"epochs": 2, "batch_size": 20},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("runs") / "a")
    run.path.mkdir()
    train(check_recipe(RECIPE), run, SilentObserver())
    return run


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished.path, tmp_path / "a")
    return Run(tmp_path / "a")


def damage(run, seed=0):
    """Flip a bit of a value: the file still loads."""
    content = bytearray(run.model.read_bytes())
    content[random.Random(seed).randrange(len(content) - 2000, len(content)) & ~3] ^= 1
    run.model.write_bytes(content)


def edit(run, old, new):
    text = run.config.read_text()
    assert old in text
    run.config.write_text(text.replace(old, new))


def silently(call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call()


def test_the_summary_states_the_bytes_on_the_disk(run):
    summary = json.loads(run.summary.read_text())
    assert summary["sha256"] == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (run.model, run.config)
    }
    silently(open_run(run).load)
    assert not read_record(run).edits


def test_weights_with_one_flipped_bit_are_refused(run):
    damage(run)
    for opened in (lambda: open_run(run).model, lambda: load_run(run.path)):
        with pytest.raises(DataError, match=r"model\.safetensors has changed since") as caught:
            opened()
        assert "its SHA-256 is" in caught.value.why and "summary.json states" in caught.value.why
    copy = run.path / "checkpoints" / "step-6" / "best.safetensors"
    assert caught.value.remedy == f"copy {copy} over it: it is the same file"
    shutil.copy(copy, run.model)
    silently(open_run(run).load)
    # Without checkpoints there is no copy to name.
    damage(run)
    shutil.rmtree(run.checkpoints)
    with pytest.raises(DataError) as caught:
        load_run(run.path)
    assert caught.value.remedy.startswith("restore it from a copy")


def test_a_run_of_0_1_0_without_checksums_reads_as_before(run):
    summary = json.loads(run.summary.read_text())
    run.summary.write_text(json.dumps({k: v for k, v in summary.items() if k != "sha256"}))
    damage(run)
    edit(run, "steps = 2", "steps = 3")
    silently(open_run(run).load)


def test_a_summary_that_cannot_be_read_says_that_nothing_is_known(run):
    run.summary.write_text("{")
    with pytest.warns(UserWarning, match="whether the weights have changed"):
        open_run(run).load_model()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["save", "write_bytes", "write_results"])
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_training_killed_between_two_writes_looks_healthy(tmp_path, monkeypatch, name, epoch):
    """Before the checkpoint, the weights, or the results of the first or the second epoch."""

    class Killed(BaseException):
        pass

    run, calls, original = Run(tmp_path), [], getattr(loop, name)

    def killed(*arguments, **options):
        calls.append(1)
        if len(calls) == epoch:
            raise Killed
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(loop, name, killed)
        # Each epoch is the best so far, so that each writes weights.
        patch.setattr(loop, "_is_best", lambda *arguments: True)
        with pytest.raises(Killed):
            train(check_recipe(RECIPE), run, SilentObserver())
    if run.model.exists():
        silently(open_run(run).load)
        damage(run)
        if run.summary.exists():  # the first of them states the weights
            with pytest.raises(DataError, match="has changed since"):
                load_run(tmp_path)
    else:
        assert epoch == 1 and name != "write_results"
    train(check_recipe(RECIPE), run, SilentObserver(), resume=True)
    silently(open_run(run).load)
    assert json.loads(run.summary.read_text())["finished"]


@pytest.mark.slow
def test_resuming_restores_changed_weights_from_the_checkpoint(run, finished):
    damage(run)
    longer = check_recipe({**RECIPE, "train": {**RECIPE["train"], "epochs": 3}})
    with pytest.warns(UserWarning, match="has changed since .*: restored from the checkpoint"):
        train(longer, run, SilentObserver(), resume=True)
    silently(open_run(run).load)
    assert json.loads(run.summary.read_text())["config"]["train"]["epochs"] == 3


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("steps = 2", "steps = 3", "coding.steps is 3, in the training 2"),
        ("validation = 0.1", "validation = 0.3", "data.validation is 0.3, in the training 0.1"),
        ("label_smoothing = 0.0", "label_smoothing = 0.5", "train.label_smoothing is 0.5"),
    ],
)
def test_edits_of_what_an_evaluation_reads_are_refused(run, old, new, said):
    edit(run, old, new)
    with pytest.raises(DataError, match="was edited after the training") as caught:
        open_run(run).recipe  # noqa: B018
    assert said in caught.value.why and "set these back" in caught.value.remedy
    edit(run, new, old)
    silently(lambda: open_run(run).recipe)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs = 2", "epochs = 9", "train.epochs is 9, in the training 2"),
        ("limit = 60", "limit = 50", "data.limit is 50"),
        ('name = "small"', 'name = "other"', "name is 'other', in the training 'small'"),
        ("steps = 2", "steps = 2  # two", "the same values"),
    ],
)
def test_harmless_edits_are_named(run, old, new, said):
    edit(run, old, new)
    with pytest.warns(UserWarning, match="was edited after the training") as told:
        assert open_run(run).recipe.coding.steps == 2
    assert said in str(told[0].message)


def test_a_record_has_the_values_of_the_training(run):
    edit(run, "steps = 2", "steps = 3")
    record = read_record(run)
    assert record.setting("coding", "steps") == 2
    assert record.as_dict()["steps"] == 2
    assert record.as_dict()["edited"] == {"coding.steps": {"trained": 2, "now": 3}}
    assert record.state == "finished"


def test_keys_that_were_added_or_removed():
    content = b'name = "a"'
    sums = {"config.toml": hashlib.sha256(content).hexdigest()}
    summary = {"sha256": sums, "config": {"coding": {"steps": 4}}}
    found = find_edits(content, {"name": "a", "coding": {}}, summary)
    assert found.keys == {"coding.steps": (4, None), "name": (None, "a")}
    assert found.harmful == {"coding.steps": (4, None)}
    assert not find_edits(content, {}, {}) and not Edits()


@pytest.mark.slow
def test_edits_during_the_training_are_named(tmp_path):
    """The configuration of the summary is that with which the session began."""
    run = Run(tmp_path)

    class Edit(SilentObserver):
        def epoch_done(self, training, metrics):
            if metrics["epoch"] == 1:
                edit(run, "steps = 2", "steps = 3")

    train(check_recipe(RECIPE), run, Edit())
    assert read_record(run).edits.keys == {"coding.steps": (2, 3)}
