"""Local tandem learning: what each layer learns from, its losses, its stages, what is refused."""

import json
import math
import shutil
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from asnn.core.errors import ConfigError, DataError
from asnn.datasets.transforms.mixing import Targets
from asnn.learning import check_recipe, prepare, train
from asnn.learning.methods import Stage, create_method
from asnn.learning.methods.ltl.layers import SeparateLayers, require_separable, separated
from asnn.learning.methods.ltl.losses import early_loss, layer_loss
from asnn.learning.methods.ltl.method import LocalTandemLearning
from asnn.learning.start.begin import begin_from_start
from asnn.learning.training import begin_stage, training_batches
from asnn.models import create_model, load_run
from asnn.models.factory import model_registry
from asnn.models.layers.spiking import SpikingLayer, layer_outputs
from asnn.models.layers.stem import Stem
from asnn.models.layers.time import OverTime
from asnn.models.network import SpikingNetwork
from asnn.models.readouts import Decision
from asnn.records.layout import Run
from asnn.records.open_run import open_run
from tests.support.trainings import KeepTraining, StopAfter

CROSSING = {"name": "first-crossing", "quantity": "potential", "level": 1.0, "psp": [2.0, 0.5]}
RECIPE = {
    "data": {"limit": 120},
    "coding": {"name": "direct", "steps": 4},
    "model": {"name": "mlp", "features": [16, 12], "neuron": "integrate", "output_scale": False},
    "neuron": {"most": 5, "gradient": "straight-through"},
    "readout": CROSSING,
    "method": {"name": "ltl", "readout_epochs": 1},
    "train": {
        "epochs": 2, "ann_epochs": 2, "batch_size": 40, "lr": 0.003, "device": "cpu", "init": "ann",
    },
}  # fmt: skip
FILES = ("model.safetensors", "metrics.jsonl", "teacher/model.safetensors")


def recipe_of(tables=None, **options):
    tables = {**RECIPE, **(tables or {})}
    return check_recipe({**tables, "train": {**tables["train"], **options}})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of both stages, and its observer."""
    path, observer = tmp_path_factory.mktemp("whole"), KeepTraining()
    train(recipe_of(), Run(path), observer)
    return path, observer


@pytest.fixture
def started(whole, tmp_path):
    """A training that begins with the ANN of `whole`."""

    def begin(tables=None, **options):
        recipe = recipe_of(tables, **{"init": str(whole[0] / "teacher"), **options})
        training = prepare(recipe, Run(tmp_path))
        training.method.load(training)
        begin_from_start(training)
        begin_stage(training)
        training.model.train()
        for module in training.evaluated:
            module.eval()
        return training

    return begin


def lines(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def network(name="mlp", **options):
    torch.manual_seed(0)
    options = {"features": [7, 6, 5]} if name == "mlp" and not options else options
    return create_model(
        name, in_shape=(1, 8, 8), classes=3, coding="direct", steps=4, neuron="integrate",
        neuron_options={"most": 3, "gradient": "straight-through", "amplitude": 0.3},
        output_scale=False, **options,
    )  # fmt: skip


CHAINS = {
    "mlp": {"features": [7, 6]},
    "lenet": {"widths": [3, 4], "hidden": 8},
    "vgg": {"width": 4, "hidden": [8]},
}


@pytest.mark.parametrize("name", CHAINS)
def test_the_loss_of_a_layer_reaches_the_layer_alone(name):
    """By autograd: the weights with a gradient of it are those between two layers of spikes."""
    model = network(name, **CHAINS[name]).train()
    parts, at = {}, []
    for key in model.body._modules:
        at.append(key)
        if key.startswith("spikes") or key == "readout":
            parts[key] = set(at)
            at = []
    logits, means = SeparateLayers(model)(torch.rand(6, 1, 8, 8))
    for layer, output in {**means, "readout": logits}.items():
        model.zero_grad()
        output.square().sum().backward(retain_graph=True)
        reached = {k.split(".")[1] for k, p in model.named_parameters() if p.grad is not None}
        assert reached and reached <= parts[layer], layer
    # Negative control: without the cut the last layer reaches the first.
    model.zero_grad()
    with layer_outputs(model) as outputs:
        model(torch.rand(6, 1, 8, 8))
    list(outputs.values())[-1].square().sum().backward()
    first = next(iter(model.parameters()))
    assert first.grad is not None and bool(first.grad.any())


def test_the_forward_pass_is_that_of_the_network():
    model, x = network().eval(), torch.rand(6, 1, 8, 8)
    with torch.no_grad(), layer_outputs(model) as outputs:
        expected = model(x)
    with separated(model) as cut:
        assert torch.equal(model(x), expected)
    assert cut.keys() == outputs.keys()
    logits, means = SeparateLayers(model)(x)
    torch.testing.assert_close(logits[0], expected.mean(0))
    for name, mean in means.items():
        assert torch.equal(mean, outputs[name].mean(0))
    assert not any(module._forward_hooks for module in model.modules())


def test_networks_whose_layers_exchange_values_are_refused():
    for name, options in CHAINS.items():
        require_separable(network(name, **options))
    model = network("ms-resnet", width=4)
    with pytest.raises(ConfigError) as caught:
        require_separable(model)
    assert "the layers of a ms-resnet cannot learn by themselves" in str(caught.value)
    assert "values, not spikes, pass between them" in caught.value.why
    assert "lenet, mlp or vgg" in caught.value.remedy
    assert model.training


def test_layer_loss_by_hand():
    means = {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([[[3.0]]])}
    activations = {"b": torch.tensor([[[1.0]]]), "a": torch.tensor([[0.5, 0.0]])}
    # a: ((1 - 2·.5)² + (2 - 0)²) / 2, b: (3 - 2·1)².
    assert float(layer_loss(means, activations, 2.0)) == pytest.approx(2 + 1)


def losses(outputs, step, y, level, weight=1.0, second=None):
    decision = Decision(
        outputs.gather(0, step.view(1, -1, 1).expand(1, -1, outputs.shape[2]))[0], step, step >= 0
    )
    targets = Targets(y, y if second is None else second, weight)

    def score(scores, targets):
        found = scores.argmax(1)
        parts = [float((found == each).sum()) for each in (targets.first, targets.second)]
        return targets.weight * parts[0] + (1 - targets.weight) * parts[1]

    def label_loss(scores, targets):
        one, other = (cross_entropy(scores, each) for each in (targets.first, targets.second))
        return targets.weight * one + (1 - targets.weight) * other

    return early_loss(
        decision, outputs[-1], targets, level=level, label_loss=label_loss, score=score
    )


def early_loss_of_a_loop(outputs, step, y, level):
    batch, classes = outputs.shape[1:]
    at = [outputs[step[b], b] for b in range(batch)]
    right_early = sum(int(at[b].argmax() == y[b]) for b in range(batch))
    right_late = sum(int(outputs[-1, b].argmax() == y[b]) for b in range(batch))
    theta = 0.0 if right_late == 0 else 1 - min(right_early / right_late, 1.0)
    total = 0.0
    for b in range(batch):
        total += 2 * float(cross_entropy(at[b][None], y[b][None])) / batch
        for k in range(classes):
            if k != y[b] and at[b][k] >= level:
                total += 2 * theta * float(at[b][k] - level) / batch
    return total, theta


@pytest.mark.parametrize("seed", range(4))
def test_early_loss_is_that_of_a_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    outputs = 3 * torch.randn(5, 12, 4, generator=generator).double()
    y = torch.randint(0, 4, (12,), generator=generator)
    outputs[-1, :8] += 9 * torch.nn.functional.one_hot(y[:8], 4)  # late answers are better
    step = torch.randint(0, 5, (12,), generator=generator)
    expected, theta = early_loss_of_a_loop(outputs, step, y, 1.0)
    assert 0 < theta < 1
    assert float(losses(outputs, step, y, 1.0)) == pytest.approx(expected, rel=1e-5)
    # Negative control: another level is another loss.
    assert float(losses(outputs, step, y, 0.0)) != pytest.approx(expected, rel=1e-3)


def test_early_loss_of_a_batch_in_which_no_answer_is_right_at_the_end():
    """Published, θ then divides by 0."""
    outputs = torch.zeros(2, 3, 2)
    outputs[..., 1] = 5.0
    y = torch.zeros(3, dtype=torch.long)
    found = losses(outputs, torch.zeros(3, dtype=torch.long), y, 1.0)
    assert float(found) == pytest.approx(2 * float(cross_entropy(outputs[0], y)))


def test_theta_has_no_gradient_and_does_not_count_the_right_class():
    outputs = torch.tensor([[[4.0, 9.0]], [[9.0, 4.0]]], requires_grad=True)
    y, step = torch.tensor([0]), torch.tensor([0])
    losses(outputs, step, y, 3.0).backward()  # wrong at the decision, right at the end: θ = 1
    p = torch.tensor([4.0, 9.0]).softmax(0)
    expected = 2 * torch.tensor([p[0] - 1, p[1] + 1])
    torch.testing.assert_close(outputs.grad[0, 0], expected)
    assert not bool(outputs.grad[1].any())


def test_mixed_samples_have_the_terms_of_both_labels():
    generator = torch.Generator().manual_seed(5)
    outputs = 3 * torch.randn(4, 9, 3, generator=generator).double()
    first, second = (torch.randint(0, 3, (9,), generator=generator) for _ in range(2))
    step = torch.zeros(9, dtype=torch.long)
    mixed = losses(outputs, step, first, 1.0, weight=0.25, second=second)
    at, beyond = outputs[0], (outputs[0] - 1).clamp(min=0)
    early, late = (
        sum(
            w * float((u.argmax(1) == y).sum()) for w, y in ((0.25, first), (0.75, second))
        )
        for u in (at, outputs[-1])
    )  # fmt: skip
    theta = 1 - min(early / late, 1)
    expected = 0.0
    for w, y in ((0.25, first), (0.75, second)):
        others = beyond.clone()
        others[torch.arange(9), y] = 0
        expected += 2 * w * (cross_entropy(at, y) + theta * others.sum(1).mean())
    assert float(mixed) == pytest.approx(float(expected), rel=1e-5)


def test_the_loss_of_the_first_stage_written_out(started):
    training = started()
    x, targets = next(iter(training_batches(training)))
    loss, outputs = training.method.backward(training, x, targets, 1.0)
    model, ann = training.model, training.method.network
    features = []
    handle = model.readout.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    with torch.no_grad(), layer_outputs(model) as found, layer_outputs(ann) as wanted:
        model(x), ann(x)
    handle.remove()
    logits = features[0].mean(0) @ model.readout.linear.weight.T
    torch.testing.assert_close(outputs[0], logits)
    expected = cross_entropy(logits, targets.first)
    for name in ("spikes1", "spikes2"):
        expected += mse_loss(found[name].mean(0), wanted[name][0])
    torch.testing.assert_close(loss, expected)
    assert all(p.grad is not None for p in model.parameters())


def test_norms_keep_the_statistics_of_the_ann(started):
    training = started()
    before = {k: v.clone() for k, v in training.model.state_dict().items() if "running" in k}
    assert before
    x, targets = next(iter(training_batches(training)))
    training.method.backward(training, x, targets, 1.0)
    after = training.model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())


def test_a_gain_scales_targets_and_amplitudes(started):
    plain = started({"method": {"name": "ltl"}})
    scaled = started({"method": {"name": "ltl", "gain": 5.0}})
    for name in ("spikes1", "spikes2"):
        one, other = (
            getattr(each.model.body, name).neuron.amplitude for each in (plain, scaled)
        )  # fmt: skip
        torch.testing.assert_close(5 * one, other)  # V is the range with most = 5
    x, targets = next(iter(training_batches(scaled)))
    loss, _ = scaled.method.backward(scaled, x, targets, 1.0)
    logits, means = SeparateLayers(scaled.model)(x)
    wanted = scaled.method._activations(x)
    expected = scaled.task.loss(logits, targets)
    expected = expected + sum(mse_loss(m, 5 * wanted[k]) for k, m in means.items())
    torch.testing.assert_close(loss, expected)


def test_stages():
    method = create_method("ltl", readout_epochs=3, readout_lr=0.5)
    assert method.stages(5) == [Stage("layers", 2), Stage("readout", 3, 0.5)]
    assert method.stages(3) == [Stage("readout", 3, 0.5)]
    assert create_method("ltl").stages(4) == [Stage("layers", 4)]
    with pytest.raises(ConfigError, match="readout_epochs is 3, train.epochs 2"):
        method.stages(2)


def test_both_stages_of_a_run(whole):
    path, observer = whole
    found = lines(path)
    assert [line.get("stage") for line in found] == [None, "layers", "readout"]
    training = observer.training
    assert found[2]["lr"] <= 2e-3 and training.stages[1].lr == 2e-3
    best = json.loads((path / "summary.json").read_text())["best"]
    assert best["stage"] == "readout"
    # The readout alone has learned in the second stage, from the best weights of the first.
    assert [name for name, p in training.model.named_parameters() if p.requires_grad] == [
        "body.readout.linear.weight"
    ]
    summary = json.loads((path / "summary.json").read_text())
    assert summary["parameters"] == sum(p.numel() for p in load_run(path).parameters())


@pytest.mark.slow
def test_hidden_layers_are_frozen_in_the_second_stage(tmp_path, whole):
    """With more epochs of the readout the hidden layers are the same, and the readout is not."""
    longer = {"method": {"name": "ltl", "readout_epochs": 2}}
    train(recipe_of(longer, epochs=3), Run(tmp_path), KeepTraining())
    one, other = (load_file(path / "model.safetensors") for path in (whole[0], tmp_path))
    # The layers had one epoch in both.
    for name, value in one.items():
        assert torch.equal(value, other[name]) == ("readout" not in name), name


CALLS = 21
"""Of `stop`, about: in each of four epochs (two of the ANN) three batches, a validation and the
end, and a validation of the start."""


@pytest.mark.slow
@pytest.mark.parametrize("call", range(1, CALLS))
def test_a_training_stopped_anywhere_ends_with_the_same_bytes(whole, tmp_path, call):
    run = Run(tmp_path)
    first = train(recipe_of(checkpoint_steps=1), run, KeepTraining(), stop=StopAfter(call))
    assert (first is None) == (call < CALLS)
    train(recipe_of(checkpoint_steps=1), run, KeepTraining(), resume=True)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (whole[0] / name).read_bytes(), name


class Killed(BaseException):
    """Ends a training as a kill would."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["begin", "make_forward", "backward"])
def test_a_training_killed_at_the_border_ends_with_the_same_bytes(
    whole, tmp_path, monkeypatch, name
):
    """Before the second stage has begun, while it begins, and in its first batch."""
    run, original = Run(tmp_path), getattr(LocalTandemLearning, name)

    def killed(self, training, *arguments):
        if training.stage.name == "readout":
            raise Killed
        return original(self, training, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(LocalTandemLearning, name, killed)
        with pytest.raises(Killed):
            train(recipe_of(), run, KeepTraining())
    assert [line.get("stage") for line in lines(tmp_path)] == [None, "layers"]
    assert not (tmp_path / "model.safetensors").exists()
    train(recipe_of(), run, KeepTraining(), resume=True)
    for file in FILES:
        assert (tmp_path / file).read_bytes() == (whole[0] / file).read_bytes(), file


@pytest.mark.slow
def test_another_ann_is_noticed(whole, tmp_path):
    run = Run(tmp_path)
    train(recipe_of(), run, KeepTraining(), stop=StopAfter(14))
    weights = tmp_path / "teacher" / "model.safetensors"
    assert weights.exists() and (tmp_path / "checkpoints").exists()
    shutil.rmtree(tmp_path / "teacher")
    other = {"train": {**RECIPE["train"], "seed": 1, "epochs": 2}}
    made = tmp_path / "other"
    made.mkdir()
    train(check_recipe({**RECIPE, **other}), Run(made), KeepTraining())
    shutil.copytree(made / "teacher", tmp_path / "teacher")
    with pytest.raises(DataError, match="the ANN is not the one that"):
        train(recipe_of(), run, KeepTraining(), resume=True)


@pytest.mark.slow
def test_targets_of_other_samples_teach_less_than_none(tmp_path, monkeypatch):
    """The negative control: the activations of the next sample, beside a conversion."""
    tables = {
        "data": {"limit": 600},
        "readout": {},
        "method": {"name": "ltl"},
        "coding": {"name": "direct", "steps": 8},
    }
    options = {"epochs": 3, "ann_epochs": 8, "lr": 0.003}
    taught, rolled = tmp_path / "taught", tmp_path / "rolled"
    for path in (taught, rolled):
        path.mkdir()
    observer = KeepTraining()
    train(recipe_of(tables, **options), Run(taught), observer)
    original = LocalTandemLearning._activations
    monkeypatch.setattr(
        LocalTandemLearning,
        "_activations",
        lambda self, x: {name: a.roll(-1, 0) for name, a in original(self, x).items()},
    )
    train(recipe_of(tables, **options), Run(rolled), KeepTraining())
    converted, ann = lines(taught)[0], open_run(taught / "teacher").evaluate("validation")
    assert converted["validation_accuracy"] >= ann.accuracy - 0.03
    assert lines(taught)[-1]["validation_accuracy"] >= converted["validation_accuracy"] - 0.02
    assert lines(rolled)[-1]["validation_accuracy"] <= converted["validation_accuracy"] - 0.1
    # The start was better, and is what the run keeps.
    assert json.loads((rolled / "summary.json").read_text())["best"]["epoch"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "more"),
    [
        ({"name": "lenet", "widths": [3, 4], "hidden": 10}, {}),
        ({"name": "vgg", "width": 4, "hidden": [8]}, {}),
        ({"name": "sew-resnet", "width": 4}, {}),
        ({"name": "mlp", "features": [12]}, {"synapse": {"name": "exp"}}),
        ({"name": "mlp", "features": [12]}, {"coding": {"name": "hybrid", "steps": 3}}),
        ({"name": "mlp", "features": [12]}, {"augment": {"mixup": True}}),
        ({"name": "mlp", "features": [12]}, {"neuron": {"most": 2, "granularity": "channel"}}),
    ],
    ids=str,
)
def test_networks_codes_and_mixed_samples(tmp_path, model, more):
    tables = {"model": {"neuron": "integrate", "output_scale": False, **model}, **more}
    train(recipe_of(tables), Run(tmp_path), KeepTraining())
    assert [line.get("stage") for line in lines(tmp_path)] == [None, "layers", "readout"]
    assert open_run(tmp_path).evaluate("test").samples > 0


def chain(ctx, *, width: int = 10) -> SpikingNetwork:
    """A network from outside the tree: two layers with biases and without norms."""
    size = math.prod(ctx.in_shape)

    def first() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(size, width))

    layers = {
        "read": Stem(ctx.coding, first, mean=ctx.mean, std=ctx.std, rank=len(ctx.in_shape)),
        "fire": SpikingLayer(None, ctx.make_neuron(width)),
        "mix": OverTime(nn.Linear(width, width)),
        "fire_again": SpikingLayer(None, ctx.make_neuron(width)),
        "answer": ctx.make_readout(width),
    }
    return SpikingNetwork(ctx.coding, nn.Sequential(OrderedDict(layers)))


@pytest.mark.slow
def test_a_network_from_outside_the_tree(tmp_path, monkeypatch):
    point = type("Point", (), {"value": "x", "load": lambda self: chain})()
    monkeypatch.setitem(model_registry.__dict__, "_external", {"chain": point})
    tables = {
        "model": {"name": "chain", "neuron": "integrate", "output_scale": False, "width": 24},
        "data": {"limit": 600},
    }
    train(recipe_of(tables, ann_epochs=8, epochs=2, lr=0.02), Run(tmp_path), KeepTraining())
    stages = [line.get("stage") for line in lines(tmp_path)]
    assert stages == [None, "layers", "readout"]
    ann = open_run(tmp_path / "teacher").evaluate("test").accuracy
    assert open_run(tmp_path).evaluate("test").accuracy > ann - 0.1 > 0.6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tables", "options", "what", "why", "remedy"),
    [
        ({}, {"init": "none"}, "learns the activations of an ANN", "", "set train.init=ann"),
        ({"model": {"neuron": "adaptive"}, "neuron": {}}, {}, "not for the neurons adaptive",
         "a calibrated amplitude", "model.neuron=integrate"),
        ({"model": {"neuron": "relu"}, "neuron": {}}, {}, "not for the neurons relu", "",
         "model.neuron=integrate"),
        ({"readout": {}}, {}, "readout_epochs train a readout that decides", "",
         "readout.quantity=potential"),
        ({"readout": {**CROSSING, "quantity": "probability", "level": 0.9}}, {},
         "readout_epochs train a readout that decides", "", "readout.quantity=potential"),
        ({}, {"loss": "tet"}, "train.loss=tet is not for the method ltl", "losses of their own",
         "set train.loss=mean"),
        ({"method": {"name": "ltl", "readout_epochs": 2, "gain": 5.0}}, {},
         "gain is 5.0, and no layer learns it", "those of the readout", "method.gain=1"),
        ({"method": {"name": "ltl", "readout_epochs": 3}}, {},
         "readout_epochs is 3, train.epochs 2", "add up",
         "train.epochs to more than 3, or method.readout_epochs to less than 2"),
    ],
)  # fmt: skip
def test_refusals(tmp_path, tables, options, what, why, remedy):
    (tmp_path / "run").mkdir()
    with pytest.raises(ConfigError) as caught:
        train(recipe_of(tables, **options), Run(tmp_path / "run"), KeepTraining())
    assert what in str(caught.value)
    assert why in (caught.value.why or "") and remedy in (caught.value.remedy or "")
    assert not (tmp_path / "run").exists()


def test_a_run_with_spikes_is_no_teacher(whole, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(ConfigError, match="has spikes, and ltl learns") as caught:
        train(recipe_of(init=str(whole[0])), Run(tmp_path / "run"), KeepTraining())
    assert "the folder teacher of a run" in caught.value.remedy


def test_options_are_checked():
    for options, message in (
        ({"gain": 0.0}, "gain must be above 0"),
        ({"readout_epochs": -1}, "readout_epochs must be 0 or more"),
        ({"readout_lr": 0.0}, "readout_lr must be above 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            create_method("ltl", **options)
