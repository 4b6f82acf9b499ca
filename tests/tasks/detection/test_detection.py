"""The task: its loss by formula, what it finds, its metrics, and what it refuses."""

import math

import pytest
import torch

from asnn.coding.factory import create_coding
from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError, DataError
from asnn.datasets.base import DataSet, Split
from asnn.datasets.boxes import pack
from asnn.datasets.transforms.mixing import Targets
from asnn.models.readouts import Readout
from asnn.models.readouts.detection import DetectionReadout, Grid
from asnn.tasks import create_task
from asnn.tasks.detection.meter import average_precision_of

K, T, SIDE = 3, 2, 32
GRID = Grid(8, 4, 4)
A = 16
BOXES = [[[8, 8, 24, 24]], [[0, 0, 12, 20], [16, 4, 32, 12]], []]
CLASSES = [[1], [0, 2], []]
TARGETS = pack([torch.tensor(each).view(-1, 4) for each in BOXES], list(map(torch.tensor, CLASSES)))
N = len(TARGETS)


def data_of(targets, target="boxes", spec=None):
    spec = spec or SampleSpec("image", (1, SIDE, SIDE))
    split = Split(torch.zeros(len(targets), *spec.shape), targets)
    return DataSet("own", split, split, split, list("abc"), 1.0, "", spec, target=target)


def bound(targets=TARGETS, **options):
    task = create_task("detection", **options)
    task.bind(data_of(targets), create_coding("direct", steps=T))
    task.use_readout(DetectionReadout(4, K + 5, grid=GRID, steps=T, scaled=False))
    return task


def right_outputs(task, targets=TARGETS, margin=8.0):
    """Outputs `[T, N, K + 5, A]` whose mean is the truth."""
    labels, values = task.cells.assign(targets)
    logits = torch.zeros(len(targets), K + 1, A)
    logits.scatter_(1, torch.where(labels < 0, K, labels).unsqueeze(1), margin)
    answer = torch.cat([logits, values], 1)
    shake = torch.randn(answer.shape, generator=torch.Generator().manual_seed(0))
    return torch.stack([answer + shake, answer - shake])


def pair(targets):
    return Targets(targets, targets, 1.0)


def values_of(task, outputs, targets):
    meter = task.meter(len(outputs))
    for part in (slice(0, 2), slice(2, None)):
        meter.take(outputs[:, part], pair(targets[part]))
    found = meter.result(lambda t: t, lambda t: t)
    assert found.samples == len(targets)
    return found.values


def test_a_process_without_samples_adds_none():
    """Of two processes one may have no batch: both have the result of all samples."""
    task = bound()
    sums, parts = [], []
    full, without = task.meter(T), task.meter(T)
    full.take(right_outputs(task), pair(TARGETS))
    expected = full.result(lambda t: sums.append(t) or t, lambda t: parts.append(t) or t)
    of_other = iter(parts)
    found = without.result(lambda t: sums[0] + t, lambda t: torch.cat([next(of_other), t], -1))
    assert found.values == expected.values
    nothing = task.meter(T).result(lambda t: t, lambda t: t)
    assert (nothing.samples, nothing.values["ap50"], nothing.values["loss"]) == (0, None, 0)


def test_the_loss_is_that_of_the_formula():
    task = bound(background=0.25, box=2.0)
    outputs = torch.randn(T, N, K + 5, A, generator=torch.Generator().manual_seed(1))
    labels, true = task.cells.assign(TARGETS)
    answer = outputs.double().mean(0)
    expected = []
    for b in range(N):
        of_object, of_background, of_box = [], [], []
        for a in range(A):
            y = int(labels[b, a]) if labels[b, a] >= 0 else K
            p = answer[b, : K + 1, a].exp()
            nats = -math.log(p[y] / p.sum())
            (of_object if y < K else of_background).append(nats)
            if y < K:
                errors = (answer[b, K + 1 :, a] - true[b, :, a]).abs().tolist()
                of_box.append(sum(e * e / 2 * 9 if e < 1 / 9 else e - 1 / 18 for e in errors))
        means = [sum(each) / max(len(each), 1) for each in (of_object, of_background, of_box)]
        expected.append(means[0] + 0.25 * means[1] + 2 * means[2])
    found = task.losses(outputs, pair(TARGETS))
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    assert float(task.loss(outputs, pair(TARGETS))) == pytest.approx(sum(expected) / N, rel=1e-5)


def test_the_right_outputs_find_the_boxes():
    task = bound()
    found = task.detections(right_outputs(task).mean(0))
    assert found.shape == (N, 100, 6)
    for b in range(N):
        rows = found[b][~found[b, :, 4].isnan()]
        assert len(rows) == len(CLASSES[b])
        order = rows[:, 4].argsort()
        assert ((rows[order, :5] - TARGETS[b, : len(rows)]).abs() < 1e-4).all()
        assert (rows[:, 5] > 0.99).all()


def test_metrics_of_the_right_outputs_and_of_the_next_sample():
    """Negative control: the boxes of the next sample find next to nothing."""
    task = bound()
    outputs = right_outputs(task)
    values = values_of(task, outputs, TARGETS)
    assert [values[key] for key in ("ap50", "ap75", "map")] == pytest.approx([1, 1, 1])
    assert values["ap50_per_class"] == pytest.approx([1, 1, 1])
    assert len(values["ap50_per_step"]) == T
    assert values["ap50_per_step"][-1] == values["ap50"]
    assert (values["objects"], values["boxes"]) == (3, 3)
    assert values["map_large"] is None
    assert values["loss"] == pytest.approx(float(task.loss(outputs, pair(TARGETS))))
    assert task.score(outputs, pair(TARGETS)) == pytest.approx(N)
    assert values_of(task, outputs, TARGETS.roll(1, 0))["ap50"] == 0


def test_the_first_step_is_scored_alone():
    task = bound()
    outputs = right_outputs(task)
    after_one = values_of(task, outputs[:1], TARGETS)["ap50"]
    found = values_of(task, outputs, TARGETS)["ap50_per_step"]
    assert found[0] == pytest.approx(after_one)
    assert after_one < 0.99 < found[1]


def test_the_steps_before_the_last_keep_two_values_a_box_and_have_the_same_precision():
    task, size = bound(), 40
    outputs = torch.randn(T, size, K + 5, A, generator=torch.Generator().manual_seed(2))
    targets = TARGETS[torch.arange(size) % len(TARGETS)]
    meter = task.meter(T)
    for first in range(0, size, 16):
        part = slice(first, first + 16)
        meter.take(outputs[:, part], pair(targets[part]))
    kept = sum(t.numel() for each in vars(meter).values() if isinstance(each, list) for t in each)
    assert kept == size * task.top * (6 + 2 * (T - 1)) + targets.numel()
    found = meter.result(lambda t: t, lambda t: t).values["ap50_per_step"]
    so_far = task.readout.so_far(outputs)
    boxes = [task.detections(each) for each in so_far]
    assert found == [average_precision_of(each, targets, K, (0.5,)) for each in boxes]
    assert len({*found}) == T


def test_processes_give_the_metrics_of_one():
    task = bound()
    outputs = right_outputs(task, margin=1.0)
    whole = values_of(task, outputs, TARGETS)
    meters = [task.meter(T) for _ in range(2)]
    for meter, part in zip(meters, (slice(0, 1), slice(1, None)), strict=True):
        meter.take(outputs[:, part], pair(TARGETS[part]))
    sent = []
    meters[1].result(lambda t: sent.append(t) or t, lambda t: sent.append(t) or t)
    other = iter(sent)
    found = meters[0].result(lambda t: t + next(other), lambda t: torch.cat([t, next(other)], -1))
    assert found.values.pop("loss") == pytest.approx(whole.pop("loss"))
    assert found.values == whole
    assert found.samples == N


def test_boxes_are_clipped_and_the_best_are_kept():
    task = bound(top=1)
    outputs = right_outputs(task)
    outputs[:, 1, K + 1 :] += 5.0  # far too large
    found = task.detections(outputs.mean(0))
    assert found.shape == (N, 1, 6)
    assert found[1, 0, :4].min() >= 0
    assert found[1, 0, :4].max() <= SIDE
    scores = bound().detections(outputs.mean(0))[1, :, 5]
    assert found[1, 0, 5] == scores[0]


def test_empty_batches():
    task = bound()
    nothing = torch.zeros(T, 0, K + 5, A)
    assert task.detections(nothing.mean(0)).shape == (0, 100, 6)
    assert task.score(nothing, pair(TARGETS[:0])) == 0
    assert task.losses(nothing, pair(TARGETS[:0])).shape == (0,)


def test_refusals():
    for options, key in (({"top": 0}, "top"), ({"score": 1.5}, "score"), ({"box": -1.0}, "box")):
        with pytest.raises(ConfigError, match=f"task.{key} is"):
            create_task("detection", **options)
    task = create_task("detection")
    with pytest.raises(DataError, match="needs boxes, the data set own has real values"):
        task.bind(data_of(torch.zeros(3, 2), None), create_coding("direct", steps=T))
    with pytest.raises(DataError, match="has no boxes"):
        task.bind(data_of(torch.full((2, 1, 5), torch.nan)), create_coding("direct", steps=T))
    with pytest.raises(ConfigError, match="needs a network with a grid of cells") as error:
        task.use_readout(Readout(4, 3, steps=T, scaled=False))
    assert "model.name=spiking-yolo" in error.value.remedy
    task = bound()
    with pytest.raises(ConfigError, match="mixed samples"):
        task.loss(right_outputs(task), Targets(TARGETS, TARGETS, 0.5))
    with pytest.raises(ConfigError, match="has no class for a step"):
        task.step_classes(pair(TARGETS), T)
    with pytest.raises(ConfigError, match="does not weigh classes"):
        task.use_class_weights("balanced", TARGETS)
