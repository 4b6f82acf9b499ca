"""The training loop, compared with a loop written out by hand; its files; what it refuses."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch

from asnn.core.errors import DataError
from asnn.datasets import Batches
from asnn.learning import check_recipe, prepare, train
from asnn.learning.checkpoints.content import save_checkpoint
from asnn.learning.device import derived_seed
from asnn.learning.epoch import train_epoch
from asnn.models import load_run
from asnn.records.layout import Run
from tests.support.trainings import KeepTraining

RECIPE = {
    "data": {"limit": 100},
    "coding": {"name": "temporal", "steps": 3},
    "model": {"name": "mlp", "features": [12]},
    "train": {"epochs": 2, "batch_size": 25, "lr": 0.01, "schedule": "constant", "device": "cpu"},
}


def with_options(**train):
    return check_recipe({**RECIPE, "train": {**RECIPE["train"], **train}})


@pytest.mark.slow
def test_the_loop_equals_a_loop_written_out(tmp_path):
    recipe = with_options()
    observer = KeepTraining()
    train(recipe, Run(tmp_path), observer)
    data = observer.training.data

    mine = prepare(recipe, Run(tmp_path)).model
    optimizer = torch.optim.Adam(mine.parameters(), lr=0.01, fused=True)
    for epoch in range(2):
        mine.train()
        order = Batches(
            data.train, batch_size=25, full_scale=16, shuffle=True,
            generator=torch.Generator().manual_seed(derived_seed(0, epoch)),
        )  # fmt: skip
        for x, targets in order:
            loss = torch.nn.functional.cross_entropy(mine.mean_logits(x), targets.first)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    theirs = observer.training.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in mine.state_dict().items())
    assert observer.rates and all(0 <= rate <= 1 for rate in observer.rates)


@pytest.mark.slow
def test_the_saved_weights_are_those_of_the_best_epoch(tmp_path):
    recipe = with_options(epochs=4, lr=0.05)
    by_epoch = {}

    class KeepWeights(KeepTraining):
        def epoch_done(self, training, metrics):
            by_epoch[metrics["epoch"]] = {
                k: v.clone() for k, v in training.model.state_dict().items()
            }

    summary = train(recipe, Run(tmp_path), KeepWeights())
    saved = load_run(tmp_path).state_dict()
    best = summary["best"]["epoch"]
    for epoch, weights in by_epoch.items():
        same = all(torch.equal(saved[name], weights[name]) for name in saved)
        assert same == (epoch == best)


@pytest.mark.slow
def test_clipping_bounds_the_step_of_sgd(tmp_path):
    """One step of plain SGD moves the weights by lr · norm: the norm is 0.001 at most."""
    recipe = with_options(optimizer="sgd", momentum=0.0, lr=1.0, epochs=1, batch_size=100,
                          clip_norm=0.001)  # fmt: skip
    before = prepare(recipe, Run(tmp_path)).model
    observer = KeepTraining()
    train(recipe, Run(tmp_path), observer)
    after = dict(observer.training.model.named_parameters())
    moved = np.sqrt(
        sum(float((after[n] - p).detach().square().sum()) for n, p in before.named_parameters())
    )
    assert moved == pytest.approx(0.001, rel=1e-3)


@pytest.mark.slow
def test_the_test_split_is_not_used(tmp_path, monkeypatch):
    splits = []
    original = Batches.__init__

    def record(self, split, **options):
        splits.append(split)
        original(self, split, **options)

    monkeypatch.setattr(Batches, "__init__", record)
    observer = KeepTraining()
    train(with_options(), Run(tmp_path), observer)
    data = observer.training.data
    assert any(split is data.validation for split in splits)
    assert not any(split is data.test for split in splits)


@pytest.mark.slow
def test_a_checkpoint_of_a_newer_format_is_refused(tmp_path):
    train(with_options(), Run(tmp_path), KeepTraining())
    newest = tmp_path / "checkpoints" / (tmp_path / "checkpoints/latest").read_text().strip()
    state = torch.load(newest / "state.pt", weights_only=True)
    torch.save({**state, "format": 99}, newest / "state.pt")
    sums = newest / "checksums.json"
    changed = json.loads(sums.read_text())
    changed["sha256"]["state.pt"] = hashlib.sha256((newest / "state.pt").read_bytes()).hexdigest()
    sums.write_text(json.dumps(changed))
    with pytest.raises(DataError, match="has format 99: this asnn reads formats up to 2"):
        train(with_options(), Run(tmp_path), KeepTraining(), resume=True)


@pytest.mark.slow
def test_an_epoch_with_fewer_batches_than_are_done_is_complete(tmp_path):
    """As when more processes resume, for which the last batch is too small."""
    recipe = with_options(epochs=1)
    for name in ("uninterrupted", "resumed"):
        (tmp_path / name).mkdir()
    uninterrupted = KeepTraining()
    train(recipe, Run(tmp_path / "uninterrupted"), uninterrupted)
    (tmp_path / "resumed/config.toml").write_text(recipe.toml())
    training = prepare(recipe, Run(tmp_path / "resumed"))
    train_epoch(training, KeepTraining())
    training.progress.batch += 1
    save_checkpoint(training)
    summary = train(recipe, Run(tmp_path / "resumed"), KeepTraining(), resume=True)
    assert summary["best"] == uninterrupted.metrics
    training.progress.batch += 1
    shutil.rmtree(tmp_path / "resumed/checkpoints")
    save_checkpoint(training)
    with pytest.raises(DataError, match="its position in the training is impossible"):
        train(with_options(epochs=2), Run(tmp_path / "resumed"), KeepTraining(), resume=True)


@pytest.mark.slow
def test_resuming_before_the_first_checkpoint_begins_anew(tmp_path):
    recipe = with_options()
    (tmp_path / "config.toml").write_text(recipe.toml())
    assert train(recipe, Run(tmp_path), KeepTraining(), resume=True)["finished"]


@pytest.mark.slow
def test_bfloat16_trains_and_keeps_float32_weights(tmp_path):
    observer = KeepTraining()
    summary = train(with_options(precision="bfloat16", epochs=1), Run(tmp_path), observer)
    assert np.isfinite(summary["last"]["train_loss"])
    assert {p.dtype for p in observer.training.model.parameters()} == {torch.float32}
