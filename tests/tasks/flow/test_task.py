"""The task flow: its loss against the parts it is made of, its errors against loops, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from asnn.coding.event_frames import Frames
from asnn.coding.samples import EventBatch, SampleSpec
from asnn.core import ConfigError, DataError
from asnn.datasets.base import DataSet, Split
from asnn.datasets.motion import contrast_loss, flow_at
from asnn.datasets.transforms.mixing import Targets
from asnn.models import create_model
from asnn.tasks import create_task
from asnn.tasks.flow import seen
from asnn.tasks.flow.errors import flow_errors
from asnn.tasks.flow.smoothness import CHARBONNIER, smoothness

DURATION = 8000
SPEC = SampleSpec("events", (2, 6, 7), duration=DURATION)


def random_events(seed=0, size=3, count=200):
    draw = np.random.default_rng(seed)
    sample = np.sort(draw.integers(0, size, count))
    t = draw.integers(0, DURATION, count)
    order = np.lexsort((t, sample))
    columns = [t[order], draw.integers(0, 7, count), draw.integers(0, 6, count)]
    columns += [draw.integers(0, 2, count), sample]
    t, x, y, p, sample = map(torch.from_numpy, columns)
    return EventBatch(t, x, y, p, sample, size, SPEC.shape, DURATION)


def targets_of(events, truth=None):
    truth = torch.full((len(events), 2, 1, 1), torch.nan) if truth is None else truth
    return Targets(truth, truth, 1.0, torch.arange(len(events)), events)


def data_of(truth, spec=SPEC, target="flow"):
    events = torch.zeros(len(truth), 1)  # `bind` reads no samples
    split = Split(events, truth)
    return DataSet("made", split, split, split, [], 1.0, "", spec, target=target)


def bound(truth=None, coding=None, **options):
    task = create_task("flow", **options)
    truth = torch.full((3, 2, 1, 1), torch.nan) if truth is None else truth
    coding = coding or Frames(steps=4, value="count")
    coding.bind(SPEC)
    task.bind(data_of(truth), coding)
    model = create_model(
        "firenet",
        in_shape=SPEC.shape,
        classes=2,
        sample=SPEC,
        coding="frames",
        steps=4,
        neuron="lif",
        width=2,
    )
    task.use_readout(model.readout)
    return task


def test_the_loss_of_the_answer_is_that_of_the_mean_flow():
    events, outputs = random_events(), torch.randn(4, 3, 2, 6, 7, generator=torch.manual_seed(0))
    task = bound(smooth=0.0)
    expected = contrast_loss(events, flow_at(events, outputs.mean(0)), DURATION)
    assert torch.allclose(task.losses(outputs, targets_of(events)), expected)
    assert torch.allclose(task.loss(outputs, targets_of(events)), expected.mean())


def test_the_loss_of_the_steps_moves_each_event_with_its_step():
    events, outputs = random_events(), torch.randn(4, 3, 2, 6, 7, generator=torch.manual_seed(0))
    task = bound(warp="steps", smooth=0.0)
    flow = torch.stack(
        [
            outputs[int(t) * 4 // DURATION, b, :, y, x]
            for t, b, y, x in zip(events.t, events.sample, events.y, events.x, strict=True)
        ]
    )
    expected = contrast_loss(events, flow, DURATION)
    assert torch.allclose(task.losses(outputs, targets_of(events)), expected)


def test_flow_that_is_the_same_at_all_steps_has_one_loss():
    events = random_events()
    outputs = torch.randn(1, 3, 2, 6, 7, generator=torch.manual_seed(0)).expand(4, -1, -1, -1, -1)
    losses = [
        bound(warp=warp, smooth=0.0).losses(outputs, targets_of(events))
        for warp in ("answer", "steps")
    ]
    assert torch.allclose(*losses)


def test_the_truth_is_not_in_the_loss():
    events, outputs = random_events(), torch.randn(4, 3, 2, 6, 7)
    truth = torch.randn(3, 2, 1, 1)
    task = bound(truth)
    assert torch.equal(
        task.losses(outputs, targets_of(events, truth)),
        task.losses(outputs, targets_of(events, 5 - truth)),
    )


def test_only_events_that_the_network_sees_count():
    events, outputs = random_events(), torch.randn(4, 3, 2, 6, 7)
    task = bound(coding=Frames(steps=4, value="count", duration=5.0))
    seen = events.kept(events.t < 5000)
    flow = flow_at(seen, outputs.mean(0))
    lost = task.losses(outputs, targets_of(events)) - task.losses(outputs, targets_of(seen))
    assert torch.equal(lost, torch.zeros(3))
    plain = bound(coding=Frames(steps=4, value="count", duration=5.0), smooth=0.0)
    expected = contrast_loss(seen, flow, 5000)  # the flow is still over 8 ms
    assert torch.allclose(plain.losses(outputs, targets_of(events)), expected)


def test_smoothness_is_that_of_a_loop():
    flow = torch.randn(2, 1, 2, 3, 4, generator=torch.manual_seed(0))
    lit = torch.rand(1, 3, 4, generator=torch.manual_seed(1)) < 0.7

    def penalty(a, b):
        return float(((a - b).square() + CHARBONNIER**2).sqrt().sum())

    expected = 0.0
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        found = [
            penalty(flow[t, 0, :, y, x], flow[t, 0, :, y + down, x + right])
            for t in range(2)
            for y in range(3 - down)
            for x in range(4)
            if 0 <= x + right < 4 and lit[0, y, x] and lit[0, y + down, x + right]
        ]
        expected += sum(found) / len(found)
    found = [
        penalty(flow[0, 0, :, y, x], flow[1, 0, :, y, x])
        for y in range(3)
        for x in range(4)
        if lit[0, y, x]
    ]
    expected += sum(found) / len(found)
    assert float(smoothness(flow, lit)) == pytest.approx(expected, rel=1e-5)


def test_opposite_differences_of_both_components_do_not_cancel():
    flow = torch.zeros(1, 1, 2, 1, 2)
    flow[0, 0, :, 0, 1] = torch.tensor([1.0, -1.0])
    lit = torch.ones(1, 1, 2, dtype=torch.bool)
    assert float(smoothness(flow, lit)) == pytest.approx(2, rel=1e-3)


def test_errors_are_those_of_pixels_with_events_and_a_known_truth():
    flow = torch.zeros(1, 2, 2, 3)
    truth = torch.tensor([[3.0, 4.0], [0.0, 0.0], [torch.nan, 1.0]]).T.view(1, 2, 1, 3)
    truth = truth.expand(1, 2, 2, 3)
    lit = torch.tensor([[[True, True, True], [False, False, False]]])
    found = flow_errors(flow, truth, lit)
    assert float(found.aee) == 2.5  # of 5 and 0: a true flow of 0 counts
    assert float(found.outliers) == 0.5
    assert flow_errors(flow, truth, ~lit).aee.isfinite()
    assert flow_errors(flow, torch.full_like(truth, torch.nan), lit).aee.isnan()


@pytest.mark.parametrize("known", [True, False])
def test_the_primary_metric_is_the_error_where_the_truth_is_known(known):
    truth = torch.ones(3, 2, 1, 1) if known else None
    task = bound(truth)
    assert task.primary.name == ("aee" if known else "rsat")
    events = random_events()
    meter = task.meter(4)
    outputs = torch.ones(4, 3, 2, 6, 7)
    meter.take(outputs, targets_of(events, truth))
    values = meter.result(lambda x: x, lambda x: x).values
    assert ("aee" in values) == known
    if known:
        assert values["aee"] == 0
        assert values["aee_per_step"] == [0.0] * 4
    assert values["rsat"] == pytest.approx(values["rsat_per_step"][-1])
    assert task.score(outputs, targets_of(events, truth)) == pytest.approx(
        3 * values[task.primary.name]
    )


def test_what_does_not_depend_on_the_flow_is_computed_once_a_batch(monkeypatch):
    events, truth = random_events(), torch.ones(3, 2, 1, 1)
    outputs = torch.randn(4, 3, 2, 6, 7, generator=torch.manual_seed(0))
    task, calls = bound(truth), []
    for name in ("inside", "event_counts", "Contrast"):
        plain = getattr(seen, name)

        def counted(*given, name=name, plain=plain):
            calls.append(name)
            return plain(*given)

        monkeypatch.setattr(seen, name, counted)
    meter = task.meter(4)
    meter.take(outputs, targets_of(events, truth))
    assert sorted(calls) == ["Contrast", "event_counts", "inside"]
    so_far = task.readout.so_far(outputs)
    alone = [task.measured(flow, targets_of(events, truth)) for flow in so_far]
    values = meter.result(lambda x: x, lambda x: x).values
    for name in ("aee", "rsat"):
        expected = [float(each[name].sum().double() / 3) for each in alone]
        assert values[f"{name}_per_step"] == expected


def test_recordings_without_events_have_a_loss_of_0_and_no_measures():
    task, nothing = bound(), random_events(count=0)
    meter = task.meter(4)
    meter.take(torch.ones(4, 3, 2, 6, 7), targets_of(nothing))
    values = meter.result(lambda x: x, lambda x: x).values
    assert values["loss"] < 1e-6
    assert values["rsat"] is None


@pytest.mark.parametrize(
    ("options", "text"), [({"warp": "all"}, "unknown warp 'all'"), ({"smooth": -1.0}, "smooth is")]
)
def test_options_out_of_range_are_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        create_task("flow", **options)


def test_data_codes_and_networks_that_do_not_fit_are_refused():
    task = create_task("flow")
    code = Frames(steps=4)
    code.bind(SPEC)
    with pytest.raises(DataError, match="needs flow, the data set made has one class"):
        task.bind(data_of(torch.zeros(3, dtype=torch.int64), target=None), code)
    small = Frames(steps=4, downsample=2)
    with pytest.raises(ConfigError, match="frames of 3×4 pixels, the sensor has 6×7"):
        task.bind(data_of(torch.zeros(3, 2, 1, 1)), small)
    by_count = Frames(steps=4, bins="count")
    with pytest.raises(ConfigError, match="task.warp=steps needs steps of equal time"):
        create_task("flow", warp="steps").bind(data_of(torch.zeros(3, 2, 1, 1)), by_count)
    images = data_of(torch.zeros(3, 2, 1, 1), spec=SampleSpec("image", (1, 6, 7)))
    with pytest.raises(DataError, match="needs recordings of events and a code of frames"):
        task.bind(images, code)
    classes = create_model("mlp", in_shape=(1, 2, 2), classes=2, features=[3])
    with pytest.raises(ConfigError, match="needs a network that answers with a flow"):
        task.use_readout(classes.readout)


def test_mixed_recordings_are_refused():
    events = random_events()
    mixed = replace(events), targets_of(events)._replace(weight=0.5)
    with pytest.raises(ConfigError, match="the task flow cannot train on mixed samples"):
        bound().loss(torch.zeros(4, 3, 2, 6, 7), mixed[1])
