"""Corruptions of networks whose task is another than classification, by its primary metric."""

import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core.metric import ACCURACY, Metric
from asnn.datasets.base import DataSet, Split
from asnn.measure.figures.robustness import draw_robustness
from asnn.measure.robustness.corruptions import corrupt, robustness
from asnn.models import create_model
from asnn.tasks import create_task

STEPS, FEATURES, SAMPLES = 6, 5, 20
SPEC = SampleSpec("series", (FEATURES,), steps=STEPS)
MSE = Metric("mse", greater_is_better=False, percent=False)


def made(task, targets, outputs):
    """Return a network, its data, and the bound task."""
    generator = torch.Generator().manual_seed(0)
    split = Split(torch.rand(SAMPLES, STEPS, FEATURES, generator=generator), targets)
    data = DataSet("random", split, split, split, ["a", "b"], 1.0, "f" * 64, SPEC)
    torch.manual_seed(0)
    model = create_model(
        "mlp",
        in_shape=(FEATURES,),
        classes=outputs,
        coding="given",
        steps=STEPS,
        sample=SPEC,
        features=[12],
    ).eval()
    with torch.no_grad():  # so that neurons fire
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight *= 4
    task = create_task(task)
    task.bind(data, model.coding)
    task.use_readout(model.readout)
    return model, split, task


@torch.no_grad()
def test_the_rows_of_a_regression_have_its_mse():
    targets = torch.linspace(-1, 1, SAMPLES)
    model, split, task = made("regression", targets, 1)
    rows = robustness(model, split, {"series-drop": [0.5, 1]}, task=task, full_scale=1.0)
    assert [row["severity"] for row in rows] == [0, 0.5, 1]
    for row in rows:
        assert "accuracy" not in row
        corrupted = corrupt(model, "series-drop", row["severity"])
        answer = corrupted(split.inputs).mean(0)[:, 0]  # the mean of the outputs over the steps
        expected = float((answer - targets).square().mean())
        assert row["mse"] == pytest.approx(expected, rel=1e-5)
    assert len({row["mse"] for row in rows}) == 3  # negative control: the corruption has an effect


@torch.no_grad()
def test_the_rows_of_step_classes_have_the_accuracy_of_labelled_steps():
    targets = torch.arange(SAMPLES * STEPS).view(SAMPLES, STEPS) % 3 - 1  # -1 has no label
    model, split, task = made("step-classification", targets, 2)
    (clean, noisy) = robustness(model, split, {"series-noise": [50]}, task=task, full_scale=1.0)
    for row, network in ((clean, model), (noisy, corrupt(model, "series-noise", 50))):
        predictions = network(split.inputs).argmax(2).T
        labelled = targets != -1
        expected = (predictions == targets)[labelled].float().mean()
        assert row["accuracy"] == pytest.approx(float(expected))


def test_each_evaluation_is_announced():
    model, split, task = made("regression", torch.zeros(SAMPLES), 1)
    said = []
    robustness(
        *(model, split, {"series-drop": [0.5, 0, 0.5], "quantize": [4]}),
        task=task,
        full_scale=1.0,
        before_each=lambda name, severity: said.append((name, severity)),
    )
    assert said == [("series-drop", 0.5), ("quantize", 4)]  # the clean network is known by then


@pytest.mark.slow
def test_the_picture_has_the_metric_on_its_axis(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: (drawn.append(f), save(f, *a, **k)))
    for metric in (MSE, ACCURACY):
        rows = [{"corruption": "quantize", "severity": s, metric.name: 0.1 + s} for s in (0, 4)]
        draw_robustness(tmp_path / "a.png", {"run": rows}, metric)
    error, accuracy = (figure.axes[0] for figure in drawn)
    assert error.get_ylabel() == "mse (lower is better)" and error.get_ylim()[1] > 4.1
    assert accuracy.get_ylabel() == "accuracy, %"
    assert accuracy.get_ylim() == (0, 102)  # room for the marks at 100 %
    assert accuracy.get_xlabel() == "number of bits of a weight"
    assert drawn[1].get_suptitle() == "run"
