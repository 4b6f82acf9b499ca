"""The method exact: pushes, clips, refusals, and exact resumption."""

import json

import pytest
import torch

from asnn.cli.recipe_files import FOLDER
from asnn.core import ConfigError
from asnn.datasets.transforms.mixing import Targets
from asnn.learning import check_recipe, prepare, read_document, train
from asnn.learning.methods.exact import clipped, silent_answers
from asnn.models import create_model
from asnn.models.layers.spiking import layer_outputs
from asnn.models.saved import load_model
from asnn.models.timing.layer import timing_layers
from asnn.records.layout import Run
from tests.support.trainings import KeepTraining, StopAfter

RECIPE = {
    "data": {"name": "yin-yang", "samples": 96, "validation_samples": 30, "test_samples": 30},
    "coding": {"name": "times", "steps": 1, "black": "late"},
    "model": {
        "name": "timing-mlp", "neuron": "rel-psp", "features": [10],
        "weight_mean": [2.0, 3.0], "weight_std": [3.0, 3.0],
    },
    "readout": {"name": "earliest", "tau": 0.2, "loss_cap": 20.0},
    "method": {"name": "exact"},
    "train": {"epochs": 3, "batch_size": 32, "lr": 0.003, "device": "cpu", "clip_norm": 1.0},
}  # fmt: skip
INF = float("inf")


def recipe_of(**tables):
    return check_recipe({**RECIPE, **{k: {**RECIPE.get(k, {}), **v} for k, v in tables.items()}})


def gradients(training, x, labels):
    targets = Targets(labels, labels, 1.0)
    training.model.zero_grad()
    training.method.backward(training, x, targets, 1.0)
    return [layer.weight.grad.clone() for layer in timing_layers(training.model).values()]


@pytest.mark.slow
def test_a_training_that_stops_resumes_with_the_same_bytes(tmp_path):
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    for run in (whole, parts):
        run.path.mkdir()
    train(recipe_of(), whole, KeepTraining())
    assert train(recipe_of(), parts, KeepTraining(), stop=StopAfter(5)) is None
    train(recipe_of(), parts, KeepTraining(), resume=True)
    for name in ("model", "metrics"):
        assert getattr(whole, name).read_bytes() == getattr(parts, name).read_bytes()
    lines = [json.loads(line) for line in whole.metrics.read_text().splitlines()]
    assert len(lines) == 3
    assert {"validation_undecided", "validation_mean_time"} <= lines[-1].keys()


def test_silent_neurons_are_pushed(tmp_path):
    """One hidden neuron cannot fire: its gradient is the push alone."""
    recipe = recipe_of(method={"push": 0.25, "push_answers": 0.0})
    training = prepare(recipe, Run(tmp_path))
    first = timing_layers(training.model)["timing1"]
    with torch.no_grad():
        first.weight[3] = -1.0
    x, labels = torch.rand(8, 1, 1, 5), torch.arange(8) % 3
    pushed = gradients(training, x, labels)
    training.method.push = 0.0
    plain = gradients(training, x, labels)
    assert plain[0][3].tolist() == [0.0] * 5 and plain[0].abs().sum() > 0
    assert pushed[0][3].tolist() == [-0.25] * 5
    others = [j for j in range(10) if j != 3]
    silent = (pushed[0] - plain[0])[others].abs().amax(1) > 0
    torch.testing.assert_close(pushed[0][others][~silent], plain[0][others][~silent])


def test_silent_right_outputs_are_pushed(tmp_path):
    training = prepare(recipe_of(method={"push": 0.0, "push_answers": 2.0}), Run(tmp_path))
    last = timing_layers(training.model)["timing2"]
    with torch.no_grad():
        last.weight[1] = -1.0
    x, labels = torch.rand(8, 1, 1, 5), torch.tensor([1, 1, 0, 2, 0, 2, 0, 2])
    pushed = gradients(training, x, labels)
    training.method.push_answers = 0.0
    plain = gradients(training, x, labels)
    assert plain[1][1].tolist() == [0.0] * 10
    assert pushed[1][1].tolist() == [-2.0 * 2 / 8] * 10  # two of eight samples
    torch.testing.assert_close(pushed[0], plain[0])


def test_the_share_of_silent_answers_of_mixed_samples():
    outputs = torch.tensor([[[-1.0, -INF, -2.0], [-INF, -1.0, -INF]]])
    targets = Targets(torch.tensor([1, 0]), torch.tensor([0, 2]), 0.75)
    assert silent_answers(outputs, targets).tolist() == [0.375, 0.375, 0.125]


def test_the_loss_that_is_printed_is_that_of_the_task(tmp_path):
    training = prepare(recipe_of(method={"push": 5.0, "push_answers": 5.0}), Run(tmp_path))
    with torch.no_grad():
        for layer in timing_layers(training.model).values():
            layer.weight[0] = -1.0
    x, labels = torch.rand(8, 1, 1, 5), torch.arange(8) % 3
    targets = Targets(labels, labels, 1.0)
    loss, outputs = training.method.backward(training, x, targets, 1.0)
    assert float(loss.detach()) == float(training.task.loss(outputs, targets))


def test_gradients_of_times_are_clipped():
    model = create_model(
        "timing-mlp", in_shape=(1, 1, 5), classes=3, coding="times", steps=1, neuron="rel-psp",
        readout="earliest", features=[6], weight_mean=[2.0, 3.0],
    )  # fmt: skip
    seen = {}
    for bound in (None, 1e-3):
        with layer_outputs(model) as outputs, clipped(model, bound):
            logits = model(torch.rand(4, 1, 1, 5))
        outputs["timing2"].register_hook(lambda grad, b=bound: seen.update({b: grad.abs().max()}))
        torch.where(logits.isfinite(), logits, 0).sum().backward()
    assert float(seen[None]) == 10.0  # 1/τ
    assert float(seen[1e-3]) == 1e-3
    assert not any(layer.taps for layer in timing_layers(model).values())


def accuracy(model, split, code):
    scores, _, decided = model.readout.decide(model.run(code))
    return float((decided & (scores.argmax(1) == split.targets)).double().mean())


@pytest.mark.slow
def test_yin_yang_is_told_by_times_alone(tmp_path):
    """Negative control: each sample's times dealt anew to its own inputs, all of which fire."""
    document = read_document(FOLDER / "yin-yang.toml")
    document["train"] |= {"epochs": 2, "device": "cpu"}
    recipe = check_recipe(document)
    train(recipe, Run(tmp_path), KeepTraining())
    model, test = load_model(Run(tmp_path).model), recipe.data.load().test
    with torch.no_grad():
        code = model.coding.encode(test.inputs)
        assert accuracy(model, test, code) > 0.75
        order = torch.rand(len(test), 5, generator=torch.Generator().manual_seed(0)).argsort(1)
        dealt = code.flatten(2).gather(2, order.unsqueeze(0)).view(code.shape)
        assert accuracy(model, test, dealt) < 0.5


@pytest.mark.slow
def test_bptt_trains_exact_times_without_pushes(tmp_path):
    train(recipe_of(method={"name": "bptt"}, train={"epochs": 1}), Run(tmp_path), KeepTraining())


@pytest.mark.parametrize(
    ("tables", "text", "remedy"),
    [
        (
            {
                "model": {"name": "mlp", "neuron": "adaptive"},
                "coding": {"name": "direct"},
                "readout": {"name": "mean"},
            },
            "the method exact is for networks of exact times, not mlp",
            "model.name=timing-mlp",
        ),
        ({"train": {"precision": "bfloat16"}}, "no effect on exact times", "leave train.precision"),
    ],
)
def test_trainings_that_it_is_not_for(tmp_path, tables, text, remedy):
    merged = {k: {**RECIPE.get(k, {}), **v} for k, v in tables.items()}
    if merged.get("model", {}).get("name") == "mlp":
        merged["model"] = {"name": "mlp", "neuron": "adaptive"}
        merged["coding"], merged["readout"] = {"name": "direct"}, {}
    with pytest.raises(ConfigError) as error:
        prepare(check_recipe({**RECIPE, **merged}), Run(tmp_path))
    assert text in f"{error.value}" and remedy in error.value.remedy


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"push": -1.0}, "push must be 0 or more"),
        ({"push_answers": INF}, "push_answers must be 0 or more"),
        ({"silent_share": 1.0}, "silent_share must be from 0 to below 1"),
        ({"clip_times": 0.0}, "clip_times must be above 0"),
    ],
)
def test_options_out_of_range(options, text):
    from asnn.learning.methods import create_method

    with pytest.raises(ConfigError, match=text):
        create_method("exact", **options)
