"""Recordings and series on the page, drawn."""

import pytest
import torch

from asnn.reports.page import page
from tests.support.html import faults, read_page
from tests.support.task_reports import SAMPLES, recordings, report_of_task, series

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("height", [6, 1])
def test_a_recording_is_drawn_in_space_and_time(height):
    data = recordings(height)
    report = report_of_task("classification", data, coding="frames", steps=3)
    found = read_page(page([report], command=""))
    assert faults(found) == []
    said = [tag.attributes["aria-label"] for tag in found.all("svg")]
    (said,) = [alt for alt in said if "in the code frames of 3 steps" in alt]
    assert "30 events in" in said and "T = 3" in said
    assert found.source.count("<image") >= (4 if height > 1 else 2)  # events and frames
    assert "energy per recording" in found.text and "a recording" in found.text
    assert "per image" not in found.text and "an image" not in found.text
    encoded = report.traced.encoded
    torch.testing.assert_close(encoded.steps, report.trace.encoded.steps)
    assert int(encoded.sample.counts()) == 30


def test_the_pages_have_all_figures():
    labels = torch.arange(SAMPLES * 6).view(SAMPLES, 6) % 3 - 1
    reports = [
        report_of_task("regression", series(torch.rand(SAMPLES), 6)),
        report_of_task("step-classification", series(labels, 6, ["rest", "beat"])),
    ]
    for report in reports:
        found = read_page(page([report], command=""))
        assert faults(found) == []
        assert "Outputs" in found.text and "random" in found.text
        assert found.source.count("<svg") >= 4  # code, spikes, outputs, energy
