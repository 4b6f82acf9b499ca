"""The streaming loops of docs/export.md run, and stop."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asnn.coding.draws import drawing, sample_keys
from asnn.exporters import source_of
from asnn.exporters.graph.interpreter import run
from tests.support.exported_networks import images, make_source, network

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


def blocks():
    return [part.split("```", 1)[0] for part in PAGE.read_text().split("```python\n")[1:]]


def test_the_streaming_loop(exported, monkeypatch):
    source = make_source()
    monkeypatch.chdir(exported("onnx", source, None, form="stream").folder)
    names: dict = {}
    exec(blocks()[0], names)
    x = images().numpy()
    logits = run(source.graph, source.encode(x)).logits
    found = list(names["predict"](x))
    assert len(found) == source.graph.steps
    for t, output in enumerate(found, start=1):
        np.testing.assert_allclose(output, logits[:t].mean(0), atol=1e-5)


class Counted:
    """A session that counts its calls."""

    def __init__(self, session):
        self.session, self.calls = session, 0

    def run(self, *arguments):
        self.calls += 1
        return self.session.run(*arguments)


@pytest.mark.parametrize("level", [0.0, 1e6], ids=["decided", "never"])
def test_the_loop_stops_when_all_samples_have_crossed(exported, monkeypatch, level):
    steps = 5
    model = network(
        "mlp", steps=steps, readout="first-crossing",
        readout_options={"quantity": "potential", "level": 0.5},
    )  # fmt: skip
    x = images().numpy()
    with torch.no_grad():
        outputs = model(torch.from_numpy(x))
        within = outputs[:3].amax((0, 2)) > outputs[0].amax(1)  # decided later than the first step
        x = x[within.numpy()]
        # Between the greatest first potential and the smallest that is reached within three steps.
        reached = outputs[:3, within].amax((0, 2)).min()
        model.readout.level = float(reached) - 1e-3 if level == 0 else level
        expected = model.readout.decide(model(torch.from_numpy(x)))
    source = source_of(model)
    monkeypatch.chdir(exported("onnx", source, None, form="stream").folder)
    names: dict = {}
    for block in blocks()[:2]:
        exec(block, names)
    names["step"] = Counted(names["step"])
    answer, at, decided = names["decide"](x)
    np.testing.assert_array_equal(at, expected.step.numpy())
    np.testing.assert_array_equal(decided, expected.decided.numpy())
    np.testing.assert_allclose(answer, expected.scores.numpy(), atol=1e-5)
    assert names["step"].calls == int(expected.step.max()) + 1
    assert decided.all() == (level == 0) and (level != 0 or names["step"].calls < steps)
    # Each sample alone stops at its own step.
    for b in range(min(len(x), 4)):
        names["step"].calls = 0
        _, (step,), _ = names["decide"](x[b : b + 1])
        assert names["step"].calls == step + 1 == int(expected.step[b]) + 1


def test_the_loop_that_draws(exported, monkeypatch):
    model = network(
        "mlp", steps=6, readout="first-crossing", neuron_options={"noise": "logistic"},
        readout_options={"quantity": "drawn", "level": 0.8, "kappa": 3.0},
    )  # fmt: skip
    x, indices = images(9), [4, 0, 31, 8, 7, 6, 5, 100, 2]
    with drawing(sample_keys(torch.tensor(indices), 0)), torch.no_grad():
        expected = model.readout.decide(model(x))
    source = source_of(model, noise=True)
    monkeypatch.chdir(exported("onnx", source, None, form="stream").folder)
    names: dict = {}
    for block in blocks()[:4]:
        exec(block, names)
    numbers = names["numbers_of"](indices)
    names["step"] = counted = Counted(names["step"])
    answer, at, decided = names["decide_by_draw"](x.numpy(), numbers)
    np.testing.assert_array_equal(at, expected.step.numpy())
    np.testing.assert_array_equal(decided, expected.decided.numpy())
    np.testing.assert_allclose(answer, expected.scores.numpy(), atol=1e-5)
    assert counted.calls == int(expected.step.max()) + 1 and len(set(at.tolist())) > 1
    # Numbers of numpy are others, and new ones each time.
    first, again = (names["decide_by_draw"](x.numpy())[1].tolist() for _ in range(2))
    assert first != at.tolist() and first != again
