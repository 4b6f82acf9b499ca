"""Which parameters decay: by name, by a step, and in checkpoints of former runs."""

import pytest
import torch

from asnn.core.errors import ConfigError
from asnn.learning import check_recipe, train
from asnn.learning.optimizer import decaying, make_optimizer
from asnn.learning.recipe.schema import TrainSection
from asnn.models import create_model
from asnn.records.layout import Run
from tests.support.trainings import KeepTraining


def network(name="lenet", **options):
    options = {"widths": [4, 8], "hidden": 8} if name == "lenet" else options
    return create_model(
        name, in_shape=(1, 8, 8), classes=3, steps=3,
        neuron_options={"granularity": "channel", "learn_threshold": True,
                        "learn_reset_size": True}, **options,
    )  # fmt: skip


def test_convolutions_and_linear_layers_decay_and_nothing_else():
    model = network()
    chosen = {id(p) for p in decaying(model)}
    names = {name for name, p in model.named_parameters() if id(p) in chosen}
    assert names == {
        "body.conv1.analog.weight", "body.conv1.spikes.weight", "body.conv2.layer.weight",
        "body.linear.layer.weight", "body.readout.linear.weight",
    }  # fmt: skip
    others = {name for name, _ in model.named_parameters()} - names
    for part in ("leak", "gain", "threshold", "reset_size", "bias", "norm.weight", "scale"):
        assert any(name.endswith(part) for name in others), part


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("decay_all", [False, True])
def test_a_step_with_gradient_0_is_weight_decay_alone(optimizer, decay_all):
    """p ← p - lr · decay · p, in both optimizers."""
    model = network()
    train = TrainSection(optimizer=optimizer, lr=0.1, weight_decay=0.5, decay_all=decay_all)
    chosen = {id(p) for p in decaying(model)}
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    make_optimizer(train, model).step()
    for name, p in model.named_parameters():
        factor = 0.95 if decay_all or id(p) in chosen else 1.0
        torch.testing.assert_close(p.detach(), before[name] * factor, rtol=1e-6, atol=1e-7)


def test_without_decay_there_is_one_group():
    model = network()
    for optimizer in ("adam", "adamw", "sgd"):
        groups = make_optimizer(TrainSection(optimizer=optimizer), model).param_groups
        assert [len(group["params"]) for group in groups] == [len(list(model.parameters()))]


RECIPE = {
    "data": {"limit": 100},
    "model": {"name": "mlp", "features": [8]},
    "train": {"epochs": 1, "batch_size": 50, "device": "cpu", "weight_decay": 0.1,
              "decay_all": True},
}  # fmt: skip


@pytest.mark.slow
def test_decay_all_cannot_change_when_a_run_is_resumed(tmp_path):
    """One group of parameters cannot become two; with decay_all unchanged the run resumes."""
    former = check_recipe(RECIPE)
    assert train(former, Run(tmp_path), KeepTraining(), stop=lambda: True) is None
    now = check_recipe({**RECIPE, "train": {**RECIPE["train"], "decay_all": False}})
    with pytest.raises(ConfigError) as caught:
        train(now, Run(tmp_path), KeepTraining(), resume=True)
    assert "train.decay_all: True → False" in caught.value.why
    assert train(former, Run(tmp_path), KeepTraining(), resume=True)["finished"]
