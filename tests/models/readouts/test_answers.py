"""What readouts answer, against loops over samples and steps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.coding.draws import drawing, sample_keys
from asnn.core import ConfigError
from asnn.models import create_model
from asnn.models.readouts import create_readout, first_crossing, readout_registry

STEPS, BATCH, FEATURES, K = 6, 5, 4, 3


def features(seed=0):
    g = torch.Generator().manual_seed(seed)
    return (torch.rand(STEPS, BATCH, FEATURES, generator=g) < 0.5).float()


def readout(name, scaled=True, **options):
    torch.manual_seed(0)
    found = create_readout(name, FEATURES, K, steps=STEPS, scaled=scaled, **options)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return found


def per_step(layer, x):
    """scale_t (W s_t + b), step by step in float64."""
    w, b = layer.linear.weight.double(), layer.linear.bias.double()
    scale = torch.ones(STEPS) if layer.scale is None else layer.scale
    return torch.stack([scale[t].double() * (x[t].double() @ w.T + b) for t in range(STEPS)])


@torch.no_grad()
@pytest.mark.parametrize("name", ["mean", "last"])
def test_mean_and_last(name):
    layer, x = readout(name), features()
    outputs, expected = layer(x), per_step(layer, x)
    torch.testing.assert_close(outputs.double(), expected, rtol=1e-5, atol=1e-6)
    means = torch.stack([expected[: t + 1].mean(0) for t in range(STEPS)])
    so_far = means if name == "mean" else expected
    torch.testing.assert_close(layer.so_far(outputs).double(), so_far, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer.answer(outputs).double(), so_far[-1], rtol=1e-5, atol=1e-6)
    decision = layer.decide(outputs)
    torch.testing.assert_close(decision.scores.double(), so_far[-1], rtol=1e-5, atol=1e-6)
    assert decision.step.tolist() == [STEPS - 1] * BATCH and decision.decided.all()


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"leak": 0.8},
        {"leak": 0.8, "learn_leak": True},
        {"learn_start": True},
        {"leak": 0.6, "learn_leak": True, "learn_start": True},
    ],
    ids=str,
)
def test_membranes_integrate(options):
    layer, x = readout("membrane", **options), features()
    inputs = per_step(layer, x)
    leak = torch.tensor(options.get("leak", 1.0), dtype=torch.float64)
    if layer.leak_logit is not None:
        leak = 1 / (1 + (-layer.leak_logit.double()).exp())
    u = torch.zeros(K).double() if layer.start is None else layer.start.double()
    expected = []
    for t in range(STEPS):
        u = leak * u + inputs[t]
        expected.append(u.expand(BATCH, K))
    torch.testing.assert_close(layer(x).double(), torch.stack(expected), rtol=1e-5, atol=1e-5)


def test_a_learned_leak_starts_where_it_is_set_and_stays_a_decay():
    layer = create_readout("membrane", 2, K, steps=3, scaled=False, leak=0.9, learn_leak=True)
    assert layer.leak_logit.sigmoid().tolist() == pytest.approx([0.9] * K)
    with torch.no_grad():
        layer.leak_logit.add_(10)
    assert bool((layer.leak_logit.sigmoid() < 1).all())
    layer(torch.rand(3, 2, 2)).sum().backward()
    assert bool((layer.leak_logit.grad != 0).all())


@torch.no_grad()
def test_without_a_memory_a_membrane_is_its_input():
    layer, x = readout("membrane", leak=0.0), features()
    torch.testing.assert_close(layer(x).double(), per_step(layer, x), rtol=1e-5, atol=1e-6)


def crossing_of_a_loop(outputs, quantity, level):
    """Return step and whether decided of each sample, by loops."""
    found = []
    for b in range(outputs.shape[1]):
        counts, answer = np.zeros(K), (len(outputs) - 1, False)
        for t in range(len(outputs)):
            u = outputs[t, b].double().numpy()
            counts += u > 1
            values = {
                "potential": u,
                "probability": np.exp(u - u.max()) / np.exp(u - u.max()).sum(),
                "sigmoid": 1 / (1 + np.exp(-u)),
                "count": counts,
            }[quantity]
            if (values > level).any():
                answer = (t, True)
                break
        found.append(answer)
    return found


@torch.no_grad()
@pytest.mark.parametrize(
    ("quantity", "level"),
    [("potential", 1.5), ("probability", 0.7), ("sigmoid", 0.8), ("count", 2.0)],
)
def test_the_first_crossing(quantity, level):
    layer = readout("first-crossing", quantity=quantity, level=level)
    outputs = torch.randn(STEPS, 40, K, generator=torch.Generator().manual_seed(1)) + 0.2
    expected = crossing_of_a_loop(outputs, quantity, level)
    decision = layer.decide(outputs)
    assert list(zip(decision.step.tolist(), decision.decided.tolist(), strict=True)) == expected
    steps = {step for step, decided in expected if decided}
    assert len(steps) > 2 and not all(decided for _, decided in expected)
    so_far = layer.so_far(outputs)
    for b, (step, _) in enumerate(expected):
        assert torch.equal(decision.scores[b], outputs[step, b])
        for t in range(STEPS):
            assert torch.equal(so_far[t, b], outputs[min(t, step), b])


@torch.no_grad()
def test_never_is_not_step_0():
    layer = readout("first-crossing", quantity="potential", level=2.0)
    outputs = torch.zeros(STEPS, 2, K)
    outputs[0, 1, 2] = 5
    decision = layer.decide(outputs)
    assert decision.step.tolist() == [STEPS - 1, 0]
    assert decision.decided.tolist() == [False, True]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=7))
def test_first_crossing_of_any_mask(rows):
    step, decided = first_crossing(torch.tensor(rows))
    for n in range(3):
        column = [row[n] for row in rows]
        assert bool(decided[n]) == any(column)
        assert int(step[n]) == (column.index(True) if any(column) else len(rows) - 1)


OF_STEPS = [name for name in readout_registry.builtin if not readout_registry.get(name).reads_times]


@pytest.mark.parametrize("name", OF_STEPS)
def test_networks_train_and_predict_with_every_readout(name):
    model = create_model(
        "mlp", in_shape=(1, 3, 3), classes=K, features=[8], steps=STEPS, readout=name
    )
    x = torch.rand(4, 1, 3, 3)
    outputs = model(x)
    assert outputs.shape == (STEPS, 4, K)
    model.readout.answer(outputs).square().sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
    keys = sample_keys(torch.arange(4), 0)
    with drawing(keys):
        scores = model.eval().predict(x)
    with torch.no_grad(), drawing(keys):
        expected = model.readout.decide(model(x)).scores
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
    assert ("readout" in model.config) == (name != "mean")


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("membrane", {"leak": -0.1}, "the leak of the readout is -0.1"),
        ("membrane", {"leak": 1.0, "learn_leak": True}, "between them if it is learned"),
        ("membrane", {"leak": 0.0, "learn_leak": True}, "between them if it is learned"),
        ("membrane", {"leak": 0.0, "learn_start": True}, "a readout with the leak 0 has no start"),
        ("first-crossing", {"quantity": "rate"}, "unknown quantity 'rate'"),
        ("first-crossing", {"level": 1.0}, "the level of a probability is 1.0"),
        ("first-crossing", {"quantity": "sigmoid", "level": 1.2}, "the level of a sigmoid is 1.2"),
        ("first-crossing", {"quantity": "count", "level": 6}, "the level of a count is 6"),
        ("first-crossing", {"level": float("nan")}, "the level of a probability is nan"),
        ("lats", {}, "unknown readout 'lats'"),
        ("last", {"leak": 0.5}, "option of readout last"),
    ],
)
def test_refusals(name, options, text):
    with pytest.raises(ConfigError) as refused:
        create_readout(name, 2, K, steps=STEPS, scaled=False, **options)
    assert text in f"{refused.value}\n{refused.value.why}"
