"""The content of a page about one run."""

import base64
import io
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from asnn.core.errors import ConfigError
from asnn.datasets.base import fingerprint
from asnn.reports.thumbnails import MAX_PIXELS, thumbnail


def decoded(address: str):
    head, _, body = address.partition(",")
    assert head == "data:image/png;base64"
    return np.array(Image.open(io.BytesIO(base64.b64decode(body))))


@pytest.mark.parametrize("channels", [1, 3])
def test_thumbnail_of_a_small_image_keeps_its_pixels(channels):
    pixels = torch.randint(0, 256, (channels, 5, 7))
    found = decoded(thumbnail(pixels / 255))
    expected = pixels.permute(1, 2, 0).numpy()
    assert np.array_equal(found, expected if channels == 3 else expected[:, :, 0])


def test_thumbnail_of_two_channels_is_their_mean():
    found = decoded(thumbnail(torch.tensor([[[0.2]], [[0.6]]])))
    assert found.tolist() == [[102]]


def test_thumbnail_has_a_maximum_size():
    assert decoded(thumbnail(torch.rand(3, 300, 200))).shape == (MAX_PIXELS, 64, 3)


def test_the_worst_confusions_come_first(report_of):
    report = report_of(samples=60, classes=tuple("abcde"))
    labels, predictions = report.result.outcomes.labels, report.result.outcomes.predictions[-1]
    confidence = report.result.outcomes.confidence[-1]
    counts = [each.count for each in report.confusions]
    assert counts == sorted(counts, reverse=True) and counts
    wrong = sum(
        c for i, row in enumerate(report.result.confusion) for j, c in enumerate(row) if i != j
    )
    assert wrong >= sum(counts)
    for each in report.confusions:
        pair = (labels == each.true) & (predictions == each.predicted)
        assert each.count == int(pair.sum()) and pair[each.sample]
        assert each.confidence == pytest.approx(float(confidence[pair].max()))


def test_the_traced_sample_is_the_first_that_is_classified_correctly(report_of):
    report = report_of(samples=40)
    correct = report.result.outcomes.correct[-1].tolist()
    assert report.sample == (correct.index(True), "the first that is classified correctly")


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["hybrid", "rate"])
def test_the_traced_sample_is_classified_correctly_by_its_trace_too(report_of, coding):
    """Random codes too: the trace draws what the evaluation draws."""
    for seed in range(12):
        report = report_of(coding=coding, steps=2, samples=40, seed=seed)
        index, why = report.sample
        assert why == "the first that is classified correctly"
        assert report.trace.predictions[-1] == int(report.result.outcomes.labels[index])


def test_figures_that_are_not_finite_are_none(report_of):
    report = report_of(weight=math.nan)
    assert not math.isfinite(report.result.loss)
    figures = report.figures()
    assert figures["loss"] is None and figures["calibration_error"] is None
    json.dumps(figures, allow_nan=False)


def test_samples_are_identified_by_the_split(report_of):
    reports = [report_of(seed=seed) for seed in (0, 0, 1)]
    assert len({each.samples for each in reports}) == 2
    assert reports[0].samples == reports[1].samples == fingerprint(reports[0].data.test)


@pytest.mark.parametrize("sample", [-1, 24])
def test_missing_sample_is_refused(report_of, sample):
    with pytest.raises(ConfigError, match="there is no sample"):
        report_of(sample=sample)


def test_energy_of_all_steps_equals_that_of_the_operations(report_of):
    report = report_of(table="45nm-fp32-memory")
    all_steps = [each for each in report.tradeoff if each["exit"] is None][-1]
    assert all_steps["picojoules"] == pytest.approx(report.energy["picojoules_per_sample"])


def test_ann_counterpart_is_dense_with_a_single_step(report_of):
    report = report_of(coding="temporal", shape=(1, 6, 6))  # of 36 values, 20 and 10 neurons
    assert report.dense_ann["picojoules_per_sample"] == pytest.approx(
        4.6 * (36 * 20 + 20 * 10 + 10 * 3)
    )
