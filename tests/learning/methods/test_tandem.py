"""The method tandem: its stages, what learns, calibration, and exact resumption."""

import json

import pytest
import torch
from safetensors.torch import load_file

import asnn
from asnn.core import ConfigError
from asnn.learning import check_recipe, prepare, train
from asnn.learning.methods import Stage, create_method
from asnn.learning.methods.tandem import network as tandem_network
from asnn.learning.methods.tandem.chain import find_chain
from asnn.learning.methods.tandem.network import Hybrid, analog_output, as_ann, step_means
from asnn.learning.stages import close_stage
from asnn.measure.evaluation import evaluate
from asnn.models.neurons.ranges import activation_range
from asnn.records.layout import Run
from tests.support.trainings import KeepTraining, StopAfter

RECIPE = {
    "data": {"limit": 300},
    "coding": {"name": "impulse", "steps": 8},
    "model": {"name": "mlp", "features": [24, 16], "neuron": "integrate", "output_scale": False},
    "neuron": {"gradient": "none"},
    "method": {"name": "tandem"},
    "train": {
        "epochs": 4, "ann_epochs": 4, "batch_size": 50, "lr": 0.01, "device": "cpu",
        "init": "ann", "calibrate": "quantile",
    },
}  # fmt: skip
FILES = ("model.safetensors", "metrics.jsonl", "teacher/model.safetensors")


def recipe_of(method=None, model=None, coding=None, neuron=None, **options):
    return check_recipe(
        {
            **RECIPE,
            "train": {**RECIPE["train"], **options},
            "method": {**RECIPE["method"], **(method or {})},
            "model": {**RECIPE["model"], **(model or {})},
            "coding": {**RECIPE["coding"], **(coding or {})},
            "neuron": {**RECIPE["neuron"], **(neuron or {})},
        }
    )


def lines(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def same(one, other):
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


class Watch(KeepTraining):
    """Keeps weights and frozen parameters of each epoch."""

    def __init__(self):
        super().__init__()
        self.states, self.frozen, self.networks = [], [], []

    def epoch_done(self, training, metrics):
        super().epoch_done(training, metrics)
        if training.recipe.method.name != "tandem":
            return
        self.states.append({k: v.clone() for k, v in training.model.state_dict().items()})
        model = training.model
        self.frozen.append({k for k, p in model.named_parameters() if not p.requires_grad})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of two stages, and what was watched of it."""
    path, watch = tmp_path_factory.mktemp("whole"), Watch()
    train(recipe_of(), Run(path), watch)
    return path, watch


def test_each_layer_has_a_stage(whole):
    found = lines(whole[0])
    assert [line.get("stage") for line in found] == [
        None,
        "spikes1",
        "spikes1",
        "spikes2",
        "spikes2",
    ]
    # The readout alone learns with a tenth of the rate, each stage by a cosine of its own.
    final = 1e-5
    first, last = found[1]["lr"] - final, found[3]["lr"] - final
    assert last / first == pytest.approx((0.001 - final) / (0.01 - final))
    best = json.loads((whole[0] / "summary.json").read_text())["best"]
    assert best["stage"] == "spikes2"


def test_what_is_coupled_stays_as_it_is(whole):
    """Weights, statistics and amplitude of a layer do not change once it spikes."""
    _, watch = whole
    start, *epochs = watch.states
    assert watch.frozen[1] == {k for k in watch.frozen[1] if "1." in k} != set()
    for name, value in epochs[0].items():
        of_first = name.startswith(("body.linear1", "body.spikes1"))
        of_second = name.startswith(("body.linear2", "body.spikes2"))
        assert torch.equal(value, epochs[1][name]) or not of_first
        if of_first:
            assert all(torch.equal(value, epoch[name]) for epoch in epochs)
        if of_second:
            assert torch.equal(epochs[2][name], epochs[3][name])
    # Negative control: what is behind has learned.
    for name in ("body.linear2.layer.weight", "body.readout.linear.weight"):
        assert not torch.equal(epochs[0][name], epochs[1][name])
    assert not torch.equal(
        start["body.linear2.layer.weight"], epochs[0]["body.linear2.layer.weight"]
    )
    name = "body.readout.linear.weight"
    assert not torch.equal(epochs[2][name], epochs[3][name])
    name = "body.spikes2.norm.norm.running_mean"
    assert not torch.equal(epochs[0][name], epochs[1][name])


def test_a_stage_is_validated_as_the_hybrid_that_it_is(whole):
    path, watch = whole
    training, found = watch.training, lines(path)
    for state, line in zip(watch.states, found, strict=True):
        training.model.load_state_dict(state)
        network = training.model
        if line.get("stage") == "spikes1":
            network = Hybrid(network, find_chain(network), 1)
        result = evaluate(
            network,
            training.data.validation,
            task=training.task,
            full_scale=training.data.full_scale,
        )
        assert result.accuracy == line["validation_accuracy"]
        assert result.spike_rate == line["spike_rate"]
    assert {line["spike_rate"] > 0 for line in found} == {True}


def test_the_result_is_the_spiking_network(whole):
    run = asnn.open_run(whole[0])
    best = json.loads((whole[0] / "summary.json").read_text())["best"]
    assert run.evaluate("validation").accuracy == best["validation_accuracy"]
    assert run.evaluate("test").accuracy > 0.7
    state = load_file(whole[0] / "model.safetensors")
    assert any(
        all(torch.equal(state[name], value) for name, value in epoch.items())
        for epoch in whole[1].states[3:]
    )


def test_amplitudes_are_of_the_activations_for_the_spikes_of_the_layer_before(whole):
    path, watch = whole
    training, state = watch.training, watch.states[3]
    model = training.model
    model.load_state_dict(load_file(path / "model.safetensors"))
    model.eval()
    x = training.data.train.inputs[:512].float() / training.data.full_scale
    stem, spikes1, linear2, spikes2, _ = model.frozen().body

    def code():
        return model.coding.each_step(x)

    first = analog_output([stem], None, code()).relu()
    expected = activation_range(first.flatten(), "quantile", levels=1)
    torch.testing.assert_close(state["body.spikes1.neuron.raw_amplitude"], expected)
    # Of the second layer with the weights that the first stage left it, which it has kept.
    (mean,) = step_means([stem, spikes1], code())
    second = list(as_ann({"a": linear2, "b": spikes2}).values())
    given = analog_output(second, mean, code()).flatten()
    expected = activation_range(given, "quantile", levels=1)
    torch.testing.assert_close(state["body.spikes2.neuron.raw_amplitude"], expected)
    # Negative control: those of the ANN without spikes have another range.
    other = analog_output(second, first, code()).flatten()
    assert not torch.isclose(activation_range(other, "quantile", levels=1), expected, rtol=1e-4)


@pytest.mark.slow
def test_all_at_once(tmp_path):
    """`freeze = "none"`: one stage in which every layer is coupled and every layer learns."""
    watch = Watch()
    train(recipe_of({"freeze": "none"}, epochs=2), Run(tmp_path), watch)
    found = lines(tmp_path)
    assert all("stage" not in line for line in found) and len(found) == 3
    first, last = watch.states[0], watch.states[-1]
    for name, value in first.items():
        fixed = name.endswith(("raw_amplitude", "linear1.mean", "linear1.std"))
        assert torch.equal(value, last[name]) == fixed, name
    assert found[-1]["validation_accuracy"] > 0.7
    assert asnn.open_run(tmp_path).evaluate("validation").accuracy == max(
        line["validation_accuracy"] for line in found
    )


@pytest.mark.slow
def test_one_step_is_much_worse_and_so_are_the_counts_of_another_sample(tmp_path, monkeypatch):
    """Negative controls."""
    for name in "abc":
        (tmp_path / name).mkdir()
    whole = train(recipe_of(), Run(tmp_path / "a"), KeepTraining())
    one = train(
        recipe_of(coding={"steps": 1}, init=str(tmp_path / "a" / "teacher")),
        Run(tmp_path / "b"), KeepTraining(),
    )  # fmt: skip
    assert one["best"]["validation_accuracy"] < whole["best"]["validation_accuracy"] - 0.1
    exact = tandem_network.step_means
    monkeypatch.setattr(
        tandem_network, "step_means", lambda *given: [m.roll(1, 1) for m in exact(*given)]
    )
    rolled = train(recipe_of(init=str(tmp_path / "a" / "teacher")), Run(tmp_path / "c"), Watch())
    assert rolled["last"]["train_accuracy"] < 0.3


CALLS = 30
"""Of `stop`, about: in each of four epochs six batches, a validation and an end."""


@pytest.mark.slow
@pytest.mark.parametrize("call", range(1, CALLS))
def test_a_training_stopped_anywhere_ends_with_the_same_bytes(whole, tmp_path, call):
    path, _ = whole
    source = str(path / "teacher")
    run = Run(tmp_path / "run")
    run.path.mkdir()
    one = recipe_of(init=source, checkpoint_steps=1)
    if train(one, run, KeepTraining(), stop=StopAfter(call)) is None:
        assert not run.finished
        train(one, run, KeepTraining(), resume=True)
    for name in FILES[:2]:
        assert (run.path / name).read_bytes() == (path / name).read_bytes()


@pytest.mark.slow
def test_a_training_killed_between_two_stages_ends_with_the_same_bytes(
    whole, tmp_path, monkeypatch
):
    """After the last epoch of a stage and before the next begins; and while it begins."""
    from asnn.learning import loop
    from asnn.learning.methods.tandem import method as tandem

    class Killed(BaseException):
        pass

    path, _ = whole
    one = recipe_of(init=str(path / "teacher"))
    for number, (module, name, at) in enumerate(
        [(loop, "close_stage", 2), (loop, "begin_stage", 2), (tandem, "calibrate_block", 2)]
    ):
        run, calls = Run(tmp_path / f"{number}"), iter(range(1, 100))
        run.path.mkdir()
        exact = getattr(module, name)

        def killed(*given, exact=exact, calls=calls, at=at, **options):
            if next(calls) == at:
                raise Killed
            return exact(*given, **options)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed)
            with pytest.raises(Killed):
                train(one, run, KeepTraining())
        train(one, run, KeepTraining(), resume=True)
        for file in FILES[:2]:
            assert (run.path / file).read_bytes() == (path / file).read_bytes(), name
    assert close_stage is loop.close_stage


@pytest.mark.slow
def test_a_stage_that_forgets_the_best_weights_is_noticed(whole, tmp_path, monkeypatch):
    """Negative control of the border: the last weights of a stage are not its best ones."""
    from asnn.learning.methods.tandem import method as tandem

    path, watch = whole
    found = lines(path)
    best = max(
        (1, 2), key=lambda at: (found[at]["validation_accuracy"], -found[at]["validation_loss"])
    )
    kept = watch.states[best]["body.linear2.layer.weight"]
    assert torch.equal(watch.states[3]["body.linear2.layer.weight"], kept)
    monkeypatch.setattr(tandem, "load", lambda content: KeepNothing.state)
    KeepNothing.state = watch.states[0]
    train(recipe_of(init=str(path / "teacher")), Run(tmp_path), KeepTraining())
    assert (tmp_path / "model.safetensors").read_bytes() != (
        path / "model.safetensors"
    ).read_bytes()


class KeepNothing:
    state: dict


@pytest.mark.slow
def test_a_conversion_without_training(whole, tmp_path):
    """`train.epochs = 0`, whatever the stages: the start, calibrated on the ANN."""
    train(
        recipe_of({"stage_epochs": [1, 3]}, epochs=0, init=str(whole[0] / "teacher")),
        Run(tmp_path), KeepTraining(),
    )  # fmt: skip
    assert [line["epoch"] for line in lines(tmp_path)] == [0]
    assert asnn.open_run(tmp_path).evaluate("test").accuracy > 0.3


@pytest.mark.slow
def test_patience_ends_a_stage_and_the_next_begins(whole, tmp_path):
    recipe = recipe_of(epochs=12, patience=1, init=str(whole[0] / "teacher"), lr=1e-9, final_lr=0.0)
    train(recipe, Run(tmp_path), KeepTraining())
    stages = [line.get("stage") for line in lines(tmp_path)][1:]
    # At so low a rate nothing gets better: one epoch to set the mark, one without a better one.
    assert 2 <= stages.count("spikes1") < 6 and stages.count("spikes2") < 6


def named(stages):
    return [(stage.name, stage.epochs) for stage in stages]


@pytest.mark.slow
def test_the_epochs_of_the_stages():
    def stages(epochs, **options):
        training = prepare(recipe_of(options, epochs=epochs), Run("unused"))
        return training.stages

    assert named(stages(4)) == [("spikes1", 2), ("spikes2", 2)]
    assert named(stages(5)) == [("spikes1", 2), ("spikes2", 3)]
    assert named(stages(5, stage_epochs=[4, 1])) == [("spikes1", 4), ("spikes2", 1)]
    assert stages(5, freeze="none") == [Stage("tandem", 5)]
    assert stages(4)[0].lr is None and stages(4)[1].lr == pytest.approx(0.001)


REFUSED = [
    ({"method": {"stage_epochs": [1, 2, 1]}}, "method.stage_epochs has 3 stages, the network 2"),
    ({"method": {"stage_epochs": [1, 2]}}, "adds up to 3 epochs, train.epochs is 4"),
    ({"epochs": 1}, "1 epochs are fewer than the 2 stages of the method tandem"),
    ({"method": {"stage_epochs": [2, 2]}, "patience": 2}, "both say when a stage ends"),
    ({"init": "none"}, "converts a trained ANN, and there is none"),
    ({"loss": "tet"}, "has one output for all steps"),
    ({"neuron": {"gradient": "surrogate", "learn_amplitude": True}}, "cannot couple"),
    ({"coding": {"name": "hybrid"}}, "cannot couple this network: linear1"),
]


@pytest.mark.parametrize("options, message", REFUSED)
def test_what_does_not_fit_is_refused_with_what_to_do(options, message, tmp_path):
    with pytest.raises(ConfigError, match="[a-z]") as refused:
        prepare(recipe_of(**options), Run(tmp_path / "run"))
    assert message in str(refused.value) and refused.value.remedy


def test_all_that_does_not_fit_is_said_together(tmp_path):
    options = {"init": "none", "method": {"stage_epochs": [2, 2]}, "patience": 2, "loss": "tet"}
    with pytest.raises(ConfigError, match="3 settings cannot be combined") as refused:
        prepare(recipe_of(**options), Run(tmp_path / "run"))
    for message in ("there is none", "both say when a stage ends", "has one output for all steps"):
        assert message in refused.value.why
    assert "set train.init=ann" in refused.value.why


@pytest.mark.parametrize("method", ["bptt", "distillation"])
def test_other_methods_need_a_gradient_of_the_spikes(method, tmp_path):
    options = {"method": {"name": method}, "init": "none"}
    with pytest.raises(ConfigError, match="nothing before spikes1 would learn") as refused:
        prepare(recipe_of(**options), Run(tmp_path / "run"))
    assert "neuron.gradient=surrogate, or method.name=tandem" in refused.value.remedy
    # Negative controls: there is one, or nothing is to learn.
    prepare(recipe_of(**options, neuron={"gradient": "surrogate"}), Run(tmp_path / "run"))
    prepare(recipe_of(**{**options, "init": "ann"}, epochs=0), Run(tmp_path / "run"))


def test_options_are_checked():
    with pytest.raises(ConfigError, match="unknown freeze 'all'"):
        create_method("tandem", freeze="all")
    for wrong in ([], [1, 0]):
        with pytest.raises(ConfigError, match="stage_epochs must be positive"):
            create_method("tandem", stage_epochs=wrong)
    with pytest.raises(ConfigError, match="stage_epochs has no effect with freeze 'none'"):
        create_method("tandem", freeze="none", stage_epochs=[1])
