"""Pages of networks of exact times: accuracy over real time, spike times of a sample."""

import dataclasses
import math
import re

import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.datasets.base import DataSet, Split
from asnn.models.timing.layer import timing_layers
from asnn.reports.comparison import comparison, labels_of
from asnn.reports.figures import raster_of_times
from asnn.reports.page import page
from asnn.reports.sample_trace import TimesTrace, trace_times
from tests.support.html import faults, read_page
from tests.support.task_reports import recordings, report_of_task

CLASSES = ["red", "<b>", "blue"]
TIMES = {"name": "timing-mlp", "coding": "times", "steps": 1}
REL_PSP = {**TIMES, "neuron": "rel-psp", "readout": "earliest", "weight_mean": [6.0]}
MULTI_SPIKE = {
    **TIMES,
    "neuron": "multi-spike",
    "neuron_options": {"window": 3.0, "threshold": 0.05, "most": 4},
    "readout": "spike-count",
    "weight_mean": [6.0],
}


def images():
    random = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (20, 1, 4, 4), dtype=torch.uint8, generator=random)
    split = Split(x, torch.arange(20) % 3)
    spec = SampleSpec("image", (1, 4, 4))
    return DataSet("random", split, split, split, CLASSES, 255.0, "f" * 64, spec)


@pytest.fixture(scope="module")
def report():
    return report_of_task("classification", images(), **REL_PSP)


@pytest.fixture(scope="module")
def counting():
    return report_of_task("classification", images(), **MULTI_SPIKE)


@pytest.fixture(scope="module")
def clocked():
    return report_of_task("classification", images(), coding="hybrid", steps=3, path="runs/b")


def table(found, label):
    """Return the cells of the rows of a table, without its head."""
    source = found.source[found.source.index(f'aria-label="{label}"') :]
    rows = re.findall(r"<tr>(.*?)</tr>", source[: source.index("</table>")], re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in rows][1:]


def test_the_page_has_accuracy_over_real_time(report, stub_figures):
    found = read_page(page([report], command="asnn report"))
    assert faults(found) == []
    assert "Accuracy, time and energy" in [tag.text for tag in found.all("h2")]
    assert "timing-mlp with rel-psp neurons, times code, exact times: " in found.text
    points = report.result.values["accuracy_over_time"]
    alts = [tag.attributes["aria-label"] for tag in found.all("svg")]
    (said,) = [alt for alt in alts if alt.startswith("By the time")]
    assert said.startswith(f"By the time {points[-1]['time']:.4g}, ")
    decided, correct = table(found, "Table of answers by time")
    assert decided[1:] == [f"{100 * point['decided']:.1f}\xa0%" for point in points[1::2]]
    assert correct[1:] == [f"{100 * point['accuracy']:.1f}\xa0%" for point in points[1::2]]
    mean = report.result.values["mean_time"]
    assert f"An image is decided at the time {mean:.4g} on average, after " in found.text
    assert float(found.figures()["mean_time"]) == mean
    assert "single step" not in found.text and "t = 1" not in found.text
    assert not any("after each step" in alt or "step 1" in alt for alt in alts)


def test_the_page_names_the_times_of_the_outputs(report, stub_figures):
    found = read_page(page([report], command=""))
    trace = report.trace
    assert isinstance(trace, TimesTrace)
    rows = table(found, "Table of outputs")
    assert [row[0] for row in rows] == ["red", "&lt;b&gt;", "blue"]
    for k, times in enumerate(trace.outputs):
        first = f"{float(times[0]):.4g}" if times[0].isfinite() else "–"
        spikes, answer = int(times.isfinite().sum()), "yes" if k == trace.prediction else ""
        assert rows[k][1:] == [first, str(spikes), answer]
    said = f"the answer is {CLASSES[trace.prediction]} at the time {trace.decided_at:.4g}"
    assert said in found.text
    assert trace.decided_at == float(trace.outputs[:, 0].min())
    assert " The dashed line is the decision." in found.text


def test_a_count_of_spikes_has_no_time_of_decision(counting, stub_figures):
    found = read_page(page([counting], command=""))
    assert faults(found) == []
    assert "The network answers after its last spike." in found.text
    assert "Table of answers by time" not in found.source
    assert "The dashed line is the decision" not in found.text
    trace = counting.trace
    assert trace.decided_at is None and counting.decision is None
    counts = trace.outputs.isfinite().sum(1)
    assert trace.prediction == int(counts.argmax())
    assert [int(row[2]) for row in table(found, "Table of outputs")] == counts.tolist()
    shares = {name: share for name, share in counting.result.overflows.items() if share}
    for name, share in shares.items():
        assert f"{100 * share:.1f}\xa0% in {name}" in found.text.replace(" %", "\xa0%")
    assert shares and "would fire again" in found.text


def test_the_traced_spikes_are_those_of_the_evaluation(report, counting):
    for one in (report, counting):
        rates = one.result.spike_rates
        totals = dict.fromkeys(rates, 0)
        model, split = one_model(one), one.data.test
        for index in range(len(split)):
            trace = trace_times(model, split.inputs[index].float() / 255)
            for name, times in trace.layers.items():
                totals[name] += int(times.isfinite().sum())
        sizes = {name: len(layer.weight) for name, layer in timing_layers(model).items()}
        for name, total in totals.items():
            assert total == pytest.approx(rates[name][0] * sizes[name] * len(split))
            assert total > 0
        labels = one.result.outcomes.predictions[-1].tolist()
        assert trace.prediction == labels[-1]


def one_model(report):
    """Build the network of a report again, with the weights that its seed draws."""
    from asnn.models import create_model

    torch.manual_seed(0)
    return create_model(**{**report.network, "in_shape": (1, 4, 4)}).eval()


def trace(inputs, outputs, decided_at, prediction):
    """Return a trace of times `[N, 1]` by hand."""
    encoded = type("Encoded", (), {"times": torch.tensor(inputs).view(1, 1, -1, 1)})
    layers = {"timing1": torch.tensor(outputs).unsqueeze(1)}
    return TimesTrace(encoded, layers, prediction, 0.5, decided_at)


def test_the_raster_ends_after_input_and_outputs():
    inf = math.inf
    drawing = raster_of_times(trace([0.0, 2.0], [inf, 5.0, 9.0], 5.0, 1), CLASSES)
    assert drawing.alt.startswith("Spikes by neuron and real time. ")
    assert drawing.alt.endswith(" in all: input 2 and timing1 2. Decided at the time 5.")
    first, last = drawing.figure.axes[:2]
    assert first.get_xlim()[1] == pytest.approx(1.02 * 9)
    assert [tick.get_text() for tick in last.get_yticklabels()] == CLASSES
    assert last.get_xlabel().split("\n")[1:] == ["2 firing, 1 silent", "2 spikes"]
    silent = raster_of_times(trace([inf], [inf, inf, inf], None, None), CLASSES)
    assert "Decided" not in silent.alt and silent.figure.axes[0].get_xlim()[1] == 1.02


def test_spikes_behind_the_axis_are_counted():
    late = TimesTrace(
        trace([0.5], [1.0], 1.0, 0).encoded,
        {"timing1": torch.tensor([[1.5], [7.0]]), "timing2": torch.tensor([[1.0]])},
        0,
        1.0,
        1.0,
    )
    hidden = raster_of_times(late, ["a"]).figure.axes[1]
    assert hidden.get_xlabel().split("\n")[1:] == ["2 firing, 0 silent", "2 spikes, 2 later"]


def test_a_sample_without_output_spike_has_no_answer(report, stub_figures):
    silent = torch.full_like(report.trace.outputs, math.inf)
    nothing = dataclasses.replace(
        report.trace, layers={**report.trace.layers, "timing2": silent}, prediction=None,
        decided_at=None,
    )  # fmt: skip
    traced = dataclasses.replace(report.traced, trace=nothing)
    found = read_page(page([dataclasses.replace(report, traced=traced)], command=""))
    assert "no output fires, so there is no answer" in found.text
    assert [row[1:] for row in table(found, "Table of outputs")] == [["–", "0", ""]] * 3


def test_runs_of_times_and_of_steps_are_compared(report, counting, clocked, stub_figures):
    other = dataclasses.replace(counting, record=dataclasses.replace(report.record))
    reports = [report, clocked, other]
    found = comparison(reports, ["times", "steps", "counts"], {})
    assert [row["steps"] for row in found["rows"]] == ["exact times", 3, "exact times"]
    said = [re.search('aria-label="([^"]*)"', figure)[1] for figure in found["curves"]]
    assert len(said) == 3
    assert said[0].startswith("Accuracy from the first step to the last: steps from ")
    assert said[1].startswith("Accuracy by real time: times ") and "counts" not in said[1]
    assert all(name in said[2] for name in ("times", "steps", "counts"))
    assert "against steps, real time and energy" in found["curves_caption"]
    only = comparison([report, other], ["times", "counts"], {})
    assert len(only["curves"]) == 2 and "against real time and energy" in only["curves_caption"]
    differences = {"coding.name": ["times", "hybrid"], "coding.steps": [1, 3]}
    assert labels_of([report, clocked], differences) == ["times", "hybrid, T 3"]


@pytest.mark.slow
def test_the_figures_of_all_pages_are_drawn(report, counting, clocked):
    events = report_of_task("classification", recordings(6), **MULTI_SPIKE)
    row = report_of_task("classification", recordings(1), **MULTI_SPIKE)
    for reports in ([report], [counting], [events], [row], [report, clocked]):
        found = read_page(page(reports, command=""))
        assert faults(found) == []
        alts = [tag.attributes["aria-label"] for tag in found.all("svg")]
        assert any("in the code times: " in alt for alt in alts)
        assert any(alt.startswith("Spikes by neuron and real time. ") for alt in alts)
    assert "30 events in" in read_page(page([events], command="")).source
