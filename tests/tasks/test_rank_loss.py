"""The loss of the decision, against loops over samples and steps."""

import math

import pytest
import torch

from asnn.core import ConfigError
from asnn.datasets.transforms.mixing import Targets
from asnn.learning import check_recipe
from asnn.models import create_model
from asnn.models.readouts import create_readout
from asnn.tasks.classification import Classification
from asnn.tasks.losses import Loss

STEPS, BATCH, K, LEVEL = 7, 30, 4, 0.6


def outputs(k=K, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(STEPS, BATCH, k, generator=generator, dtype=torch.float64)


def targets(k=K):
    y = torch.randint(k, (BATCH,), generator=torch.Generator().manual_seed(1))
    return Targets(y, y, 1.0)


def task_of(loss="rank", k=K, quantity="probability", level=LEVEL, **options):
    task = Classification.of(k)
    task.use_loss(Loss(loss, **options))
    task.use_readout(
        create_readout(
            "first-crossing", 2, k, steps=STEPS, scaled=False, quantity=quantity, level=level
        )
    )
    return task


def probabilities(o):
    """Of one step and sample, by formula: softmax, of one output both sides of the sigmoid."""
    if len(o) == 1:
        p = 1 / (1 + math.exp(-o[0]))
        return [1 - p, p]
    total = sum(map(math.exp, o))
    return [math.exp(each) / total for each in o]


def decisions(o, level=LEVEL):
    """t* of each sample, by a loop."""
    found = []
    for b in range(o.shape[1]):
        steps = (t for t in range(len(o)) if max(probabilities(o[t, b].tolist())) > level)
        found.append(next(steps, len(o) - 1))
    return found


@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("k", [K, 2, 1])
def test_the_loss_is_that_of_the_decision_alone(k, beta):
    o = outputs(k).requires_grad_()
    y, task = targets(max(k, 2)), task_of(k=k, level=0.7, entropy=beta)
    loss = task.loss(o, y)
    steps = decisions(o, 0.7)
    expected = 0.0
    for b, t in enumerate(steps):
        q = probabilities(o[t, b].tolist())
        h = -sum(each * math.log(each) for each in q)
        expected += (-math.log(q[y.first[b]]) - beta * h) / BATCH
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    taught = {(t, b) for t in range(STEPS) for b in range(BATCH) if bool((o.grad[t, b] != 0).any())}
    assert taught == set(zip(steps, range(BATCH), strict=True))
    assert len(set(steps)) > 3


def test_negative_control_the_step_with_most_crossings_is_another_one():
    # Two outputs cross at step 3, one at step 1: published code decides by argmax of the counts.
    o = torch.full((4, 1, 3), -5.0)
    o[1, 0, 0] = o[2, 0, 1] = 4.0
    o[3, 0, :2] = 4.0
    readout = task_of("rank-published", k=3, quantity="sigmoid", level=0.9).readout
    counts = (o.sigmoid() > 0.9).sum(-1)[:, 0]
    assert counts.tolist() == [0, 1, 1, 2] and int(counts.argmax()) == 3
    step, decided = readout.decide(o)[1:]
    assert (step.tolist(), decided.tolist()) == ([1], [True])


def test_a_crossing_at_the_first_step_is_not_never():
    o = torch.zeros(STEPS, 2, 2)
    o[0, 0, 1] = 9.0
    readout = task_of(k=2).readout
    scores, step, decided = readout.decide(o)
    assert step.tolist() == [0, STEPS - 1] and decided.tolist() == [True, False]
    assert torch.equal(scores[0], o[0, 0])


def test_mixed_targets_weigh_and_the_entropy_counts_once():
    o, task = outputs(), task_of(entropy=0.5)
    one, two = targets().first, (targets().first + 1) % K
    each = [float(task.loss(o, Targets(y, y, 1.0))) for y in (one, two)]
    mixed = float(task.loss(o, Targets(one, two, 0.25)))
    assert mixed == pytest.approx(0.25 * each[0] + 0.75 * each[1], rel=1e-5)


def test_the_published_loss_has_a_floor():
    """CE of sigmoids cannot fall below log(1 + (K - 1)/e), however right the answer is."""
    o = torch.full((STEPS, BATCH, 10), -60.0)
    y = torch.zeros(BATCH, dtype=torch.long)
    o[..., 0] = 60.0
    published = task_of("rank-published", k=10, quantity="sigmoid")
    floor = math.log(1 + 9 / math.e)
    assert floor == pytest.approx(1.46, abs=5e-3)
    assert float(published.loss(o, Targets(y, y, 1.0))) == pytest.approx(floor, rel=1e-5)
    assert float(task_of(k=10).loss(o, Targets(y, y, 1.0))) < 1e-6


def train_a_few_steps(readout, loss, level=None):
    torch.manual_seed(0)
    options = {} if readout == "last" else {"leak": 0.0}
    model = create_model(
        "lstm", coding="direct", in_shape=(1, 3, 3), classes=3, features=[6], steps=5,
        readout=readout, readout_options=options,
    )  # fmt: skip
    if level is not None:
        model.readout.level = level
    task = Classification.of(3)
    task.use_loss(Loss(loss))
    task.use_readout(model.readout)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    generator = torch.Generator().manual_seed(2)
    for _ in range(8):
        x = torch.rand(16, 1, 3, 3, generator=generator)
        y = torch.randint(3, (16,), generator=generator)
        optimizer.zero_grad()
        task.loss(model(x), Targets(y, y, 1.0)).backward()
        optimizer.step()
    return list(model.parameters())


def test_a_level_that_nothing_crosses_is_training_of_the_last_step_bit_for_bit():
    last = train_a_few_steps("last", "mean")
    never = train_a_few_steps("first-crossing", "rank", level=1.5)
    early = train_a_few_steps("first-crossing", "rank", level=0.4)
    assert all(torch.equal(a, b) for a, b in zip(last, never, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(last, early, strict=True))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"loss": "rank"}, "the loss rank needs a readout that answers at the first probability"),
        ({"loss": "rank-published"}, "needs a readout that answers at the first sigmoid"),
        ({"entropy": 0.1}, "entropy is 0.1, the loss is 'mean'"),
        ({"entropy": -0.1}, "train.entropy: must be greater than or equal to 0"),
    ],
    ids=str,
)
def test_refusals(changes, text):
    with pytest.raises(ConfigError) as refused:
        check_recipe({"train": changes})
    assert text in f"{refused.value}\n{refused.value.why}"


def test_metrics_of_an_epoch_have_the_decisions():
    assert task_of().tracked == ("accuracy", "mean_step", "undecided")
    plain = Classification.of(K)
    plain.use_readout(create_readout("mean", 2, K, steps=STEPS, scaled=False))
    assert plain.tracked == ("accuracy",)
