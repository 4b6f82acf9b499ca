"""Files of small series whose targets are real values, or a class for each step."""

from pathlib import Path

import numpy as np

STEPS, FEATURES = 8, 4
MODEL = [
    *("--set", "data.name=series-npz", "--set", "coding.name=given"),
    *("--set", f"coding.steps={STEPS}", "--set", "model.name=mlp", "--set", "model.features=[12]"),
    *("--set", "train.epochs=2", "--set", "train.batch_size=16"),
]


def regression_file(path: Path, count: int = 96) -> list[str]:
    """Write series of spikes whose target is their rate; return the options of a training."""
    random = np.random.default_rng(0)
    rate = random.uniform(0, 1, count).astype(np.float32)
    x = (random.random((count, STEPS, FEATURES)) < rate[:, None, None]).astype(np.float32)
    _save(path, x, rate)
    return [*MODEL, "--set", f"data.path={path}", "--set", "task.name=regression"]


def step_file(path: Path, count: int = 96) -> list[str]:
    """Write series whose class changes once, the first step of which has no label."""
    random = np.random.default_rng(0)
    begins = random.integers(2, STEPS - 1, (count, 1))
    y = (np.arange(STEPS) >= begins).astype(np.int64)
    x = random.normal(0, 0.3, (count, STEPS, FEATURES)).astype(np.float32)
    x[:, :, 0] += y
    x[:, :, 1] -= y
    y[:, 0] = -1
    _save(path, x, y, classes=np.array(["rest", "beat"]))
    return [*MODEL, "--set", f"data.path={path}", "--set", "task.name=step-classification"]


def _save(path: Path, x: np.ndarray, y: np.ndarray, **more: np.ndarray) -> None:
    train = 2 * len(x) // 3
    np.savez(path, x_train=x[:train], y_train=y[:train], x_test=x[train:], y_test=y[train:], **more)
