"""The recipe of step-wise distillation on a few recordings, and what follows a training."""

import json
from pathlib import Path

import numpy as np
import pytest

COUNT, EVENTS = 40, 60
SMALL = [
    *(
        "--set",
        "data.path=some.npz",
        "--set",
        "data.test_path=some.npz",
        "--set",
        "data.duration=9",
    ),
    *("--set", "model.widths=[4]", "--set", "model.hidden=8", "--set", "coding.downsample=1"),
    *("--set", "train.epochs=1", "--set", "train.ann_epochs=1", "--set", "train.batch_size=8"),
]


@pytest.fixture
def recordings(tmp_path):
    """Recordings whose class is the half of the sensor in which the events are."""
    random = np.random.default_rng(0)
    labels = np.arange(COUNT) % 2
    np.savez(
        tmp_path / "some.npz",
        t=np.sort(random.integers(0, 9_000, (COUNT, EVENTS)), 1).reshape(-1),
        x=(random.integers(0, 4, (COUNT, EVENTS)) + 4 * labels[:, None]).reshape(-1),
        y=random.integers(0, 8, COUNT * EVENTS),
        p=random.integers(0, 2, COUNT * EVENTS),
        offsets=np.arange(COUNT + 1) * EVENTS,
        labels=labels,
    )


@pytest.mark.slow
def test_a_distilled_network_is_evaluated_exported_and_inspected(cli, recordings):
    done = cli("train", "hsd", *SMALL, "--out", "run")
    assert done.code == 0, done.err
    assert "from the greatest activations that the ANN has learned: the amplitudes of" in done.err
    found = json.loads(cli("eval", "run", "--energy", "--json").out)
    alone, so_far = found["accuracy_of_each_step"], found["accuracy_per_step"]
    assert len(alone) == len(so_far) == 2 and alone[0] == pytest.approx(so_far[0], abs=1e-6)
    # The teacher saw ten frames: its operations are those of ten steps.
    ann, own = found["energy"]["ann_twin"], found["energy"]["layers"][0]
    assert ann["trained"]["layers"][0]["dense"] == 5 * own["dense"]
    for form in ("onnx", "nir"):
        written = json.loads(cli("export", "run", "--format", form, "--json").out)
        assert written["verified"] is True, written
    shown = cli("inspect", "run").err
    assert "integrate" in shown and "windows" in shown and "triangle" in shown
    # Its ANN has no spikes; its levels are exported.
    teacher = Path("run/teacher")
    assert json.loads(cli("eval", teacher, "--json").out)["spike_rates"] == {}
    written = json.loads(cli("export", teacher, "--format", "onnx", "--json").out)
    assert written["verified"] is True, written
    assert "qcfs" in cli("inspect", teacher).err
