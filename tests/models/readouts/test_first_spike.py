"""Which class fires first: the likelihood against an enumeration of all outcomes, and the draw."""

import itertools
import math

import pytest
import torch

from asnn.coding.draws import drawing, sample_keys
from asnn.core import ConfigError
from asnn.datasets.transforms.mixing import Targets
from asnn.learning import check_recipe
from asnn.models.readouts import create_readout
from asnn.models.readouts.first_spike import firing_first, first_spike_log_probability
from asnn.tasks.classification import Classification
from asnn.tasks.losses import Loss

STEPS, BATCH, K = 3, 4, 3


def log_odds(steps=STEPS, batch=BATCH, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, batch, K, generator=generator, dtype=torch.float64) - 0.5


def by_enumeration(o):
    """P(k first and alone), P(two or more first) and P(none), over all 2^(T K) outcomes."""
    p = (1 / (1 + (-o).exp())).tolist()
    alone, tied, silent = [0.0] * K, 0.0, 0.0
    for outcome in itertools.product((0, 1), repeat=len(p) * K):
        chance, first = 1.0, None
        for t in range(len(p)):
            fires = outcome[t * K : (t + 1) * K]
            chance *= math.prod(q if s else 1 - q for q, s in zip(p[t], fires, strict=True))
            if first is None and any(fires):
                first = fires
        if first is None:
            silent += chance
        elif sum(first) > 1:
            tied += chance
        else:
            alone[first.index(1)] += chance
    return alone, tied, silent


def test_the_likelihood_is_that_of_all_outcomes():
    o = log_odds()
    found = first_spike_log_probability(o).exp()
    for b in range(BATCH):
        alone, tied, silent = by_enumeration(o[:, b])
        assert found[b].tolist() == pytest.approx(alone, rel=1e-12)
        assert sum(alone) + tied + silent == pytest.approx(1, abs=1e-12)
        assert tied > 1e-2 and silent > 1e-4


def test_negative_control_the_order_of_the_steps_matters():
    o = log_odds()
    assert not torch.allclose(
        first_spike_log_probability(o), first_spike_log_probability(o.flip(0))
    )


def test_the_gradient_is_that_of_finite_differences():
    o = log_odds().requires_grad_()
    assert torch.autograd.gradcheck(first_spike_log_probability, (o,))


def test_half_precision_and_certain_spikes_stay_finite():
    o = torch.tensor([[[200.0, -200.0]], [[-200.0, 200.0]]])
    assert first_spike_log_probability(o).exp().tolist() == [[1.0, 0.0]]
    assert first_spike_log_probability(o).isfinite().all()
    assert first_spike_log_probability(o.half()).dtype == torch.float32


def readout(**options):
    return create_readout(
        "first-crossing", 2, K, steps=STEPS, scaled=False, quantity="drawn", **options
    )


def outputs_of(o, layer):
    return o.float() / layer.kappa + layer.level


def test_draws_have_the_probabilities_of_the_likelihood():
    layer, number = readout(kappa=2.0), 40_000
    o = log_odds(batch=1).float()
    outputs = outputs_of(o, layer).expand(-1, number, -1)
    with drawing(sample_keys(torch.arange(number))):
        decision = layer.decide(outputs)
        fires = layer._beyond(outputs)
    alone, tied, silent = by_enumeration(o[:, 0].double())
    first = fires.gather(0, decision.step.view(1, -1, 1).expand(1, -1, K))[0]
    single = first[decision.decided & (first.sum(1) == 1)].double().sum(0) / number

    def near(share, p):
        return abs(float(share) - p) <= 3 * math.sqrt(p * (1 - p) / number)

    assert all(near(*pair) for pair in zip(single, alone, strict=True))
    assert near((~decision.decided).double().mean(), silent)
    assert near((first.sum(1) > 1).double().mean(), tied)
    # The answer is the one that fired, of several the one with the greatest potential.
    chosen = decision.scores.argmax(1)
    assert first.gather(1, chosen[:, None])[decision.decided].all()
    assert (decision.step[~decision.decided] == STEPS - 1).all()


def test_of_several_that_fire_the_greatest_wins():
    u = torch.tensor([[[0.0, 3.0, 2.0], [0.0, 3.0, 2.0], [1.0, 3.0, 2.0]]])
    fires = torch.tensor([[[1, 0, 1], [0, 0, 0], [1, 0, 0]]], dtype=torch.bool)
    order = firing_first(u, fires).argsort(-1, descending=True)
    assert order.tolist() == [[[2, 0, 1], [1, 2, 0], [0, 1, 2]]]


def test_what_is_drawn_for_a_sample_does_not_depend_on_the_batch():
    layer = readout()
    outputs = outputs_of(log_odds(batch=8), layer)
    keys = sample_keys(torch.arange(8), 0)
    with drawing(keys):
        whole = layer.decide(outputs)
        so_far = layer.so_far(outputs)
    with drawing(keys[5:6]):
        one = layer.decide(outputs[:, 5:6])
    assert torch.equal(one.scores[0], whole.scores[5]) and one.step[0] == whole.step[5]
    assert torch.equal(so_far[-1], whole.scores)
    layer.stream = 7
    with drawing(keys):
        assert not torch.equal(layer.decide(outputs).scores, whole.scores)
    torch.manual_seed(0)
    first = layer.decide(outputs)
    torch.manual_seed(0)
    assert torch.equal(layer.decide(outputs).scores, first.scores)


def test_a_steep_draw_is_the_crossing_of_the_level():
    steep, level = readout(kappa=1e6), readout()
    level.stop_drawing()
    outputs = 1 + 0.5 * torch.randn(STEPS, 50, K, generator=torch.Generator().manual_seed(0))
    assert steep.draws and not level.draws and level.gives_likelihoods
    for a, b in zip(steep.decide(outputs)[1:], level.decide(outputs)[1:], strict=True):
        assert torch.equal(a, b)
    above = outputs > 1
    decided = above.any(-1).any(0)
    assert torch.equal(level.decide(outputs).decided, decided) and decided.sum() > 0


def test_negative_control_above_every_potential_nothing_is_decided():
    layer = readout(level=1e4)
    assert not layer.decide(torch.randn(STEPS, 20, K)).decided.any()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_the_likelihood_of_the_target(smoothing, weighted):
    layer, y = readout(kappa=2.0), torch.tensor([0, 2, 1, 1])
    outputs = outputs_of(log_odds(), layer).double()
    weights = torch.tensor([1.0, 2.0, 0.5]) if weighted else None
    expected = []
    for b in range(BATCH):
        p = by_enumeration(layer.kappa * (outputs[:, b] - layer.level))[0]
        nll = [-math.log(each) for each in p]
        loss = (1 - smoothing) * nll[y[b]] + smoothing * sum(nll) / K
        expected.append(loss * (1.0 if weights is None else float(weights[y[b]])))
    loss = Loss("first-spike", smoothing, class_weights=weights)
    found = loss(outputs, Targets(y, y, 1.0), layer.answer)
    assert float(found) == pytest.approx(sum(expected) / BATCH, rel=1e-5)


def test_the_loss_needs_outputs_that_are_drawn():
    task = Classification.of(K)
    task.use_loss(Loss("first-spike"))
    task.use_readout(readout())
    assert not task.needs_mean_only
    with pytest.raises(ConfigError) as caught:
        task.use_readout(create_readout("mean", 2, K, steps=STEPS, scaled=False))
    assert str(caught.value).startswith(
        "the loss first-spike needs a readout whose outputs fire at random"
    )
    assert "readout.quantity=drawn" in caught.value.remedy


@pytest.mark.parametrize("options", [{"quantity": "potential", "kappa": 4.0}, {"kappa": 0.0}])
def test_options_that_contradict_each_other(options):
    with pytest.raises(ConfigError, match="the kappa of the readout is"):
        create_readout(
            "first-crossing", 2, K, steps=3, scaled=False, **{"quantity": "drawn", **options}
        )


def test_a_recipe_whose_loss_does_not_fit_its_readout_is_refused():
    document = {"name": "r", "train": {"loss": "first-spike"}}
    with pytest.raises(ConfigError, match="train.loss: the loss first-spike needs a readout"):
        check_recipe(document)
    document["readout"] = {"name": "first-crossing", "quantity": "drawn"}
    assert check_recipe(document).train.loss == "first-spike"
