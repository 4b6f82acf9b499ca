"""A run on recordings of events: evaluation with all its parts, report, exports."""

import json
from pathlib import Path

import numpy as np
import pytest

COUNT, EVENTS = 80, 60


@pytest.fixture
def trained(cli, tmp_path):
    """A run on recordings whose class is the half of the sensor in which the events are."""
    random = np.random.default_rng(0)
    labels = np.arange(COUNT) % 2
    x = random.integers(0, 4, (COUNT, EVENTS)) + 4 * labels[:, None]
    np.savez(
        tmp_path / "halves.npz",
        t=np.sort(random.integers(0, 9_000, (COUNT, EVENTS)), 1).reshape(-1),
        x=x.reshape(-1),
        y=random.integers(0, 8, COUNT * EVENTS),
        p=random.integers(0, 2, COUNT * EVENTS),
        offsets=np.arange(COUNT + 1) * EVENTS,
        labels=labels,
    )
    done = cli(
        *("train", "--out", "run", "--set", "data.name=events-npz"),
        *("--set", "data.path=halves.npz", "--set", "data.test=0.3"),
        *("--set", "coding.name=frames", "--set", "coding.steps=3"),
        *("--set", "model.widths=[4]", "--set", "model.hidden=8", "--set", "train.lr=0.02"),
        *("--set", "train.epochs=20", "--set", "train.batch_size=8", "--set", "augment.shift=0"),
    )
    assert done.code == 0, done.err
    return "run"


@pytest.mark.slow
def test_a_run_on_events_is_measured_reported_and_exported(cli, trained):
    asked = ("--energy", "--exit", "confidence=0.9", "--calibration", "--corrupt", "event-drop=1")
    found = json.loads(cli("eval", trained, *asked, "--json").out)
    assert found["accuracy"] == 1.0
    assert len(found["accuracy_per_step"]) == 3
    # Binary frames are spikes: the first layer accumulates.
    first = found["energy"]["layers"][0]
    assert (first["name"], first["operation"]) == ("conv1.spikes", "ac")
    clean, empty = (row["accuracy"] for row in found["corruption"])
    assert clean == 1.0 and empty <= 0.6  # without any event there is nothing to see

    written = cli("report", trained, "-o", "page.html")
    assert written.code == 0, written.err
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") >= 1 or "<svg" in page
    for form in ("onnx", "nir"):
        exported = cli("export", trained, "--format", form, "--json")
        assert exported.code == 0, exported.err
