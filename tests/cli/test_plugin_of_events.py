"""A package from outside the tree adds a task, a readout, a code of events and their data set.

It trains, is stopped in the middle of an epoch and resumed to the same bytes, and is evaluated.
"""

import json
from pathlib import Path

import pytest

from asnn.coding import coding_registry
from asnn.core import ConfigError
from asnn.datasets.load import dataset_registry
from asnn.models.readouts import readout_registry
from asnn.tasks import task_registry
from tests.support.installed_package import findable, install

REGISTRIES = (task_registry, readout_registry, coding_registry, dataset_registry)

PARTS = '''
    import numpy as np
    import torch
    from torch import Tensor

    from asnn.coding import Coding
    from asnn.coding.samples import SampleSpec
    from asnn.core.metric import Metric
    from asnn.datasets.base import Source, Split
    from asnn.datasets.events import Events
    from asnn.models.readouts import Readout
    from asnn.tasks import Meter, Result, Task

    SENSOR, DURATION = (2, 6, 6), 900


    class Halves(Coding):
        """Whether each pixel had an on event in each of T windows."""

        name = "halves"
        takes = frozenset({"events"})
        analog_steps = 0

        def __init__(self, *, steps: int, shortest: int = 1) -> None:
            super().__init__(steps=steps)
            self.shortest = shortest

        def step_shape(self, spec: SampleSpec) -> tuple[int, ...]:
            return (1, *spec.shape[1:])

        def encode(self, x):
            code = torch.zeros(self.steps, len(x), 1, *SENSOR[1:])
            on = x.kept(x.p == 1)
            code[on.t * self.steps // x.duration, on.sample, 0, on.y, on.x] = 1.0
            return code


    def blinks(*, recordings: int = 60) -> Source:
        """Recordings whose target is the share of their on events."""
        random = np.random.default_rng(0)
        count = np.full(recordings, 40)
        share = random.uniform(0.1, 0.9, recordings)
        t = np.sort(random.integers(0, DURATION, (recordings, 40)), 1).reshape(-1)
        x, y = random.integers(0, 6, (2, recordings * 40))
        p = (random.uniform(size=(recordings, 40)) < share[:, None]).astype(np.int64).reshape(-1)
        events = Events(t, x, y, p, np.arange(recordings) * 40, count, SENSOR, DURATION)
        spec = SampleSpec("events", SENSOR, duration=DURATION)
        return Source(Split(events, torch.from_numpy(share).float()), None, [], spec=spec)


    class Median(Readout):
        """The answer is the median of the outputs over the steps."""

        answers_with_mean = False

        def __init__(self, features, classes, *, steps, scaled, clip: float = 5.0) -> None:
            super().__init__(features, classes, steps=steps, scaled=scaled)
            self.clip = clip

        def so_far(self, outputs: Tensor) -> Tensor:
            return torch.stack([outputs[: t + 1].median(0).values for t in range(len(outputs))])

        def answer(self, outputs: Tensor) -> Tensor:
            return outputs.clamp(-self.clip, self.clip).median(0).values


    class Share(Task):
        """The share of on events, by its absolute error."""

        name = "share"
        primary = Metric("error", greater_is_better=False, percent=False)
        tracked = ("error",)

        def __init__(self, *, power: float = 1.0) -> None:
            self.power = power
            self.classes = []

        def bind(self, data, coding) -> None:
            self.outputs = 1

        def _error(self, outputs, targets):
            return (self.answer(outputs)[:, 0] - targets).abs() ** self.power

        def loss(self, outputs, targets):
            return self._error(outputs, targets.first).mean()

        def score(self, outputs, targets) -> float:
            return float(self._error(outputs.detach(), targets.first).sum())

        def meter(self, steps) -> Meter:
            return ShareMeter(self)


    class ShareMeter(Meter):
        def __init__(self, task):
            self.task, self.sums = task, torch.zeros(2, dtype=torch.float64)

        def add(self, outputs, targets) -> None:
            errors = self.task._error(outputs, targets)
            self.sums += torch.tensor([float(errors.sum()), float(len(errors))])

        def result(self, total, gather) -> Result:
            error, samples = total(self.sums).tolist()
            return Result(int(samples), {"error": error / samples, "loss": error / samples})
'''

ENTRY_POINTS = """\
    [asnn.tasks]
    share = eventful.parts:Share

    [asnn.readouts]
    median = eventful.parts:Median

    [asnn.codings]
    halves = eventful.parts:Halves

    [asnn.datasets]
    blinks = eventful.parts:blinks
"""

CHOICE = [
    *("--set", "data.name=blinks", "--set", "data.recordings=80"),
    *("--set", "coding.name=halves", "--set", "coding.steps=3", "--set", "coding.shortest=2"),
    *("--set", "task.name=share", "--set", "task.power=2"),
    *("--set", "readout.name=median", "--set", "readout.clip=3"),
    *("--set", "model.name=mlp", "--set", "model.features=[8]"),
    *("--set", "train.epochs=3", "--set", "train.batch_size=16", "--set", "train.lr=0.02"),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    install(folder, "eventful", {"parts": PARTS}, ENTRY_POINTS)
    return folder


@pytest.fixture
def package(installed):
    with findable(installed, "eventful", *REGISTRIES):
        yield


def test_it_trains_is_evaluated_and_its_metric_decides(package, cli):
    trained = cli("train", *CHOICE, "--out", "a", "--json")
    assert trained.code == 0, trained.err
    summary = json.loads(trained.out)
    assert summary["metric"] == {"name": "error", "greater_is_better": False, "percent": False}
    lines = [json.loads(line) for line in Path("a/metrics.jsonl").read_text().splitlines()]
    errors = [line["validation_error"] for line in lines]
    assert len(errors) == 3 and summary["best"]["validation_error"] == min(errors)
    assert "validation_accuracy" not in lines[0]
    found = json.loads(cli("eval", "a", "--json").out)
    assert found["task"] == "share" and 0 < found["error"] < 0.2
    assert "confusion" not in found
    shown = cli("eval", "a").err
    assert "error" in shown and "confusion" not in shown
    listed = cli("runs", "list", ".").err
    assert f"error {min(errors):.4g}" in listed
    refused = cli("export", "a", "--format", "onnx")
    assert refused.code == 2 and "the readout Median cannot be exported" in refused.err


@pytest.mark.slow
def test_its_runs_are_compared_corrupted_and_reported(package, installed, cli, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(installed))  # of the processes of the members
    without = CHOICE[: CHOICE.index("train.lr=0.02") - 1]
    grid = ["--grid", "train.lr=1e-4,2e-2", "--seeds", "2"]
    swept = cli("sweep", *without, *grid, "--out", "s", "--json")
    assert swept.code == 0, swept.err
    found = json.loads(swept.out)
    slow, fast = (point["error"]["mean"] for point in found["points"])
    assert found["metric"]["name"] == "error" and fast < slow
    assert [point["rank"] for point in found["points"]] == [2, 1]
    runs = ["s/train.lr=0.0001,seed=0", "s/train.lr=0.02,seed=0"]
    corrupted = json.loads(cli("eval", runs[1], "--corrupt", "event-drop=1", "--json").out)
    clean, empty = (row["error"] for row in corrupted["corruption"])
    assert clean == corrupted["error"] < empty
    assert cli("report", *runs, "-o", "page.html").code == 0
    page = Path("page.html").read_text("utf-8")
    assert "0.02 is best, with the lowest error" in page and "Metrics of the task share" in page


def test_a_stopped_training_ends_with_the_same_bytes(package, tmp_path):
    import asnn

    changes = {
        key: value for key, _, value in (each.partition("=") for each in CHOICE if each != "--set")
    }
    changes = {key: _plain(value) for key, value in changes.items()}
    whole = asnn.train(out=tmp_path / "whole", changes=changes)
    asked = iter([False] * 4 + [True] * 1000)
    part = asnn.train(out=tmp_path / "part", changes=changes, stop=lambda: next(asked))
    assert not part.files.finished
    resumed = asnn.train(resume=part.path)
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()


def _plain(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def test_options_are_checked_by_their_signatures(package):
    from asnn.learning import check_recipe

    document = {
        "data": {"name": "blinks"},
        "coding": {"name": "halves", "shortst": 2},
        "task": {"name": "share", "power": "two"},
        "readout": {"name": "median", "clp": 3},
    }
    with pytest.raises(ConfigError) as refused:
        check_recipe(document)
    assert "coding.shortst: unknown key; did you mean coding.shortest?" in refused.value.why
    assert "readout.clp: unknown key; did you mean readout.clip?" in refused.value.why
    assert "task.power" in refused.value.why
