"""The information bottleneck: its gradients against all spike trains that there are."""

import itertools
import json
from types import SimpleNamespace

import pytest
import torch

from asnn.core import ConfigError
from asnn.datasets.transforms.mixing import Targets
from asnn.learning import check_recipe, train
from asnn.learning.methods import create_method
from asnn.learning.methods.forward import TrainableForward
from asnn.learning.methods.vdib import advantages
from asnn.models import create_model
from asnn.models.readouts.bottleneck import log_probability
from asnn.records.layout import Run
from asnn.tasks.classification import Classification
from tests.support.trainings import KeepTraining, StopAfter

T, M, K, BETA = 2, 3, 3, 0.4


def network(neurons=M, **options):
    torch.manual_seed(1)
    model = create_model(
        "mlp", in_shape=(1, 2, 2), classes=K, features=[5], steps=T, coding="direct",
        readout="bottleneck",
        readout_options={"neurons": neurons, "hidden": [4], "kappa": 1.5}, **options,
    )  # fmt: skip
    with torch.no_grad():
        model.readout.decoder.layers[-1].weight.mul_(6)  # what is decoded matters
        model.body.spikes1.neuron.threshold.fill_(0.3)
    return model.eval().double()


def samples(count):
    g = torch.Generator().manual_seed(3)
    x = torch.rand(count, 1, 2, 2, generator=g, dtype=torch.float64)
    y = torch.arange(count) % K
    return x, Targets(y, y, 1.0, inputs=x)


def setting(model, task=None):
    """What a method sees of a training."""
    task = task or Classification.of(K)
    task.use_readout(model.readout)
    recipe = SimpleNamespace(train=SimpleNamespace(precision="float32", epochs=1))
    return SimpleNamespace(
        model=model, task=task, forward=TrainableForward(model), recipe=recipe,
        device=torch.device("cpu"), scaler=SimpleNamespace(scale=lambda loss: loss),
        processes=SimpleNamespace(count=1),
    )  # fmt: skip


class Forced:
    """Makes the neurons of the bottleneck send given spikes, whatever they would draw."""

    def __init__(self, model):
        self.left = []
        model.readout.neuron.uniforms = lambda x, first=0: self.left.pop(0)

    def __call__(self, *patterns):
        # A spike is drawn where the number is below its probability.
        self.left = [1 - pattern for pattern in patterns]


def patterns(batch, neurons=M):
    for bits in itertools.product((0.0, 1.0), repeat=T * batch * neurons):
        yield torch.tensor(bits, dtype=torch.float64).view(T, batch, neurons)


def expected_loss(model, task, x, targets, forced, neurons=M):
    """Σ_s p(s) (d(s) + β Σ_t KL_t(s)) over all spike trains of one sample: differentiable."""
    readout, total, whole = model.readout, 0.0, 0.0
    seen = []
    handle = readout.neuron.register_forward_hook(lambda _, inputs, s: seen.append(inputs[0]))
    for s in patterns(1, neurons):
        forced(s)
        outputs = model(x)
        odds = readout.neuron.log_odds(seen.pop(), s)
        p = log_probability(s, odds).sum().exp()
        # The decoder of the forced spikes, without a gradient through them.
        decoded = readout.decoder(readout.window(s))
        torch.testing.assert_close(decoded, outputs)
        d = task.loss(decoded, targets)
        total = total + p * (d + BETA * readout.divergence(odds).sum())
        whole += float(p.detach())
    handle.remove()
    assert whole == pytest.approx(1)
    return total


def gradients(model):
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.fixture(scope="module")
def enumerated():
    """The exact gradient of one sample, and a function from a method to its mean gradient."""
    model = network()
    forced, training = Forced(model), None
    x, targets = samples(1)
    training = setting(model)
    expected_loss(model, training.task, x, targets, forced).backward()
    exact = gradients(model)

    def mean_of(method):
        seen, total = [], {}
        readout = model.readout
        handle = readout.neuron.register_forward_hook(lambda _, inputs, s: seen.append(inputs[0]))
        for s in patterns(1):
            forced(s)
            method.backward(training, x, targets, 1.0)
            with torch.no_grad():
                odds = readout.neuron.log_odds(seen.pop(), s)
                p = float(log_probability(s, odds).sum().exp())
            for name, grad in gradients(model).items():
                total[name] = total.get(name, 0) + p * grad
        handle.remove()
        return total

    return exact, mean_of


def distance(found, exact):
    """Relative distance of all gradients together."""
    apart = sum(float((found[name] - grad).square().sum()) for name, grad in exact.items())
    return (apart / sum(float(grad.square().sum()) for grad in exact.values())) ** 0.5


@pytest.mark.slow
def test_the_score_gradient_is_exact_in_the_mean(enumerated):
    exact, mean_of = enumerated
    encoder = [name for name in exact if "decoder" not in name and "window" not in name]
    nonzero = sum(int(exact[name].ne(0).sum()) for name in encoder)
    assert nonzero > 20  # the hidden neurons are reached by their surrogate gradients
    assert distance(mean_of(create_method("vdib", gradient="score", beta=BETA)), exact) < 1e-5


@pytest.mark.slow
def test_controls_of_the_score_gradient(enumerated, monkeypatch):
    """Straight through is biased; so is a score without what later steps cost."""
    exact, mean_of = enumerated
    assert distance(mean_of(create_method("vdib", beta=BETA)), exact) > 0.02
    monkeypatch.setattr(
        "asnn.learning.methods.vdib.advantages",
        lambda d, cost: d.unsqueeze(1).expand_as(cost),
    )
    assert distance(mean_of(create_method("vdib", gradient="score", beta=BETA)), exact) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("draws", "batch"), [(2, 1), (1, 2)])
def test_baselines_keep_the_mean(draws, batch):
    """Over all pairs of spike trains: of two draws of a sample, and of two samples."""
    model = network(neurons=2)
    forced, training = Forced(model), setting(model)
    x, targets = samples(batch)
    exact = {}
    for b in range(batch):
        one = targets._replace(
            first=targets.first[b : b + 1], second=targets.second[b : b + 1], inputs=None
        )
        expected_loss(model, training.task, x[b : b + 1], one, forced, 2).backward()
        for name, grad in gradients(model).items():
            exact[name] = exact.get(name, 0) + grad / batch
    method = create_method("vdib", gradient="score", beta=BETA, draws=draws)
    seen, total = [], {}
    readout = model.readout
    readout.neuron.register_forward_hook(lambda _, inputs, s: seen.append(inputs[0]))
    for one, other in itertools.product(patterns(1, 2), repeat=2):
        given = [one, other] if draws == 2 else [torch.cat([one, other], 1)]
        forced(*given)
        method.backward(training, x, targets, 1.0)
        with torch.no_grad():
            p = 1.0
            for s in given:
                odds = readout.neuron.log_odds(seen.pop(0), s)
                p *= float(log_probability(s, odds).sum().exp())
        for name, grad in gradients(model).items():
            total[name] = total.get(name, 0) + p * grad
    assert distance(total, exact) < 1e-5


def test_advantages_are_what_is_left_of_the_others():
    g = torch.Generator().manual_seed(0)
    d, cost = torch.rand(3, 4, generator=g), torch.rand(3, 5, 4, generator=g)
    found = advantages(d, cost)
    for k, t, b in itertools.product(range(3), range(5), range(4)):
        later = [float(d[j, b] + cost[j, t:, b].sum()) for j in range(3)]
        others = [later[j] for j in range(3) if j != k]
        assert float(found[k, t, b]) == pytest.approx(later[k] - sum(others) / 2, abs=1e-5)
    one = advantages(d[:1], cost[:1])
    assert float(one.sum((0, 2)).abs().max()) < 1e-5
    assert torch.equal(advantages(d[:1, :1], cost[:1, :, :1])[0, 0], d[0, :1] + cost[0, :, 0].sum())


def test_the_loss_is_the_distortion_and_the_price_of_the_nats():
    model = network()
    forced, training = Forced(model), setting(model)
    x, targets = samples(1)
    seen = []
    model.readout.neuron.register_forward_hook(lambda _, inputs, s: seen.append((inputs[0], s)))
    pattern = next(itertools.islice(patterns(1), 37, None))
    values = {}
    for gradient, beta in itertools.product(("straight-through", "score"), (0.0, BETA)):
        forced(pattern)
        method = create_method("vdib", gradient=gradient, beta=beta)
        values[gradient, beta], _ = method.backward(training, x, targets, 1.0)
    nats = model.readout.divergence(model.readout.neuron.log_odds(*seen[0])).sum()
    assert float(nats) > 0.1
    for gradient in ("straight-through", "score"):
        dearer = values[gradient, BETA] - values[gradient, 0.0]
        assert float(dearer) == pytest.approx(BETA * float(nats), rel=1e-5)


RECIPE = {
    "data": {"limit": 200},
    "coding": {"name": "direct", "steps": 3},
    "model": {"name": "mlp", "features": [24]},
    "readout": {"name": "bottleneck", "neurons": 12},
    "task": {"name": "reconstruction"},
    "method": {"name": "vdib"},
    "train": {"epochs": 2, "batch_size": 50, "lr": 0.01, "device": "cpu"},
}


def recipe_of(task="reconstruction", **method):
    given = {"name": "vdib", **method}
    return check_recipe({**RECIPE, "task": {"name": task}, "method": given})


def lines(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["reconstruction", "classification"])
@pytest.mark.parametrize("options", [{}, {"gradient": "score", "draws": 2}], ids=str)
def test_a_training_learns_and_resumes_with_the_same_bytes(tmp_path, task, options):
    recipe = recipe_of(task, **options)
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    for run in (whole, parts):
        run.path.mkdir()
    train(recipe, whole, KeepTraining())
    first, last = lines(whole.path)
    assert last["train_loss"] < first["train_loss"] and last["divergence"] > 0
    assert train(recipe, parts, KeepTraining(), stop=StopAfter(3)) is None
    train(recipe, parts, KeepTraining(), resume=True)
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (parts.path / name).read_bytes() == (whole.path / name).read_bytes()


@pytest.mark.slow
def test_dear_nats_are_few(tmp_path):
    nats = []
    for beta in (0.0, 0.01, 1.0):
        run = Run(tmp_path / str(beta))
        run.path.mkdir()
        train(recipe_of(beta=beta), run, KeepTraining())
        nats.append(lines(run.path)[-1]["divergence"])
    assert nats[0] > nats[1] > nats[2]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"beta": -1.0}, "beta is -1.0: it weighs information"),
        ({"gradient": "reinforce"}, "unknown gradient 'reinforce'"),
        ({"draws": 0}, "draws is 0"),
        ({"draws": 2}, "several draws are for gradient=score"),
    ],
)
def test_refused_options(options, text):
    with pytest.raises(ConfigError) as caught:
        create_method("vdib", **options)
    assert text in str(caught.value)


def test_refused_trainings():
    method = create_method("vdib", gradient="score")
    plain = create_model("mlp", in_shape=(1, 2, 2), classes=K, features=[5])
    with pytest.raises(ConfigError, match="needs a bottleneck") as caught:
        method.bind(plain, None)
    assert "readout.name=bottleneck" in caught.value.remedy
    training = setting(network())
    training.processes.count = 2
    with pytest.raises(ConfigError, match="score is for one process"):
        method.check(training)
