"""The metrics of all epochs for TensorBoard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .log import Log

if TYPE_CHECKING:
    from ..training import Training

FOLDER = "tensorboard"
EVENTS = "events.out.tfevents.*"


class TensorboardLog(Log):
    """Event files in the run's folder `tensorboard/`: `tensorboard --logdir RUN`.

    Scalars by optimization step: `accuracy/train`, `loss/validation`, `lr` and so on, with
    `train.statistics` also `gradient/LAYER`, `weight/LAYER` and `update/LAYER`. A resumed training
    writes the epochs so far once more, into a file that replaces the former ones.
    """

    package: ClassVar[str] = "tensorboard"

    def started(self, training: Training) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow, and of an extra

        folder = training.run.path / FOLDER
        for former in folder.glob(EVENTS):
            former.unlink()
        self._writer = SummaryWriter(str(folder))
        for metrics in training.progress.history:
            self._write(training, metrics)
        self._writer.flush()

    def epoch_done(self, training: Training, metrics: dict[str, Any]) -> None:
        self._write(training, metrics)
        self._writer.flush()

    def ended(self, training: Training, summary: dict[str, Any] | None) -> None:
        self._writer.close()

    def _write(self, training: Training, metrics: dict[str, Any]) -> None:
        step = metrics["step"]
        for key, value in metrics.items():
            if key not in ("epoch", "step") and _is_number(value):
                self._writer.add_scalar(_tag(key), value, step)
        for row in training.progress.statistics:
            if row["epoch"] != metrics["epoch"]:
                continue
            for layer, found in row["layers"].items():
                for name, value in found.items():
                    if value is not None:
                        self._writer.add_scalar(f"{name}/{layer}", value, step)


def _tag(key: str) -> str:
    """Return `loss/train` for `train_loss`, so that TensorBoard shows both in one section."""
    for part in ("train", "validation"):
        if key.startswith(f"{part}_"):
            return f"{key.removeprefix(f'{part}_')}/{part}"
    return key


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
