"""Regression: real values for each sample, at the end or at each step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, l1_loss, mse_loss

from ..coding.base import Coding
from ..core.errors import ConfigError, DataError
from ..core.metric import Metric
from ..datasets.base import DataSet
from ..datasets.transforms.mixing import Targets
from ..models.readouts import Readout
from .base import Gather, Meter, Result, Task, refuse_mixed, require_target
from .van_rossum import require_spike_trains, van_rossum_errors

LOSSES = {"mse": mse_loss, "mae": l1_loss, "huber": huber_loss}
NAMES = (*LOSSES, "van-rossum")


class Regression(Task):
    """K real values for each sample, or for each of its steps.

    The answer at the end is the mean of the outputs over the steps, `[B, K]`; at each step it is
    the output of that step, `[T, B, K]`. Targets are `[N]` or `[N, K]` at the end, `[N, T]` or
    `[N, T, K]` at each step; NaN is not known, and counts nowhere.

    Its metrics are `mse`, `mae` and `r2` (1 - Σ(y - ŷ)² / Σ(y - ȳ)², the mean over the outputs;
    None for constant targets), and `loss`.

    Args:
        at: `end` or `steps`.
        loss: `mse`, `mae` or `huber` (δ = 1); `van-rossum` for targets that are spike trains.

    Raises:
        ConfigError: an unknown value, or `van-rossum` of values at the end.
    """

    name = "regression"
    primary = Metric("mse", greater_is_better=False, percent=False)
    tracked = ("mse", "mae", "r2")

    def __init__(
        self,
        *,
        at: Literal["end", "steps"] = "end",
        loss: Literal["mse", "mae", "huber", "van-rossum"] = "mse",
    ) -> None:
        for key, given, choices in (("at", at, ("end", "steps")), ("loss", loss, NAMES)):
            if given not in choices:
                raise ConfigError(
                    f"unknown {key} {given!r}", why=f"choose from {', '.join(choices)}"
                )
        if loss == "van-rossum" and at != "steps":
            raise ConfigError(
                "the loss van-rossum is of spike trains, the targets are values at the end",
                why="trains have a value at each step",
                remedy="set task.at=steps, or another task.loss",
            )
        self.at = at
        self.each_step = at == "steps"
        self.answers = "step-values" if self.each_step else "values"
        self.kind = loss
        self.needs_mean_only = at == "end"
        self.classes = []
        self._coding: Coding | None = None

    def bind(self, data: DataSet, coding: Coding) -> None:
        require_target(self.name, data)
        shape = tuple(data.train.targets.shape[1:])
        per_step = self.at == "steps"
        if len(shape) not in ((1, 2) if per_step else (0, 1)):
            raise DataError(
                f"the targets of {data.name} have the shape [N, {', '.join(map(str, shape))}]",
                why=f"task.at={self.at} needs " + ("[N, T] or [N, T, K]" if per_step else "[N, K]"),
                remedy=f"set task.at={'end' if per_step else 'steps'}",
            )
        self.outputs = shape[-1] if len(shape) > per_step else 1
        self._coding = coding

    def use_readout(self, readout: Readout) -> None:
        if self.kind == "van-rossum":
            require_spike_trains(readout, "task.loss")
        super().use_readout(readout)
        self.needs_mean_only = self.at == "end" and readout.answers_with_mean

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        refuse_mixed(self.name, targets)
        answer, y, known = self.compared(outputs, targets.first)
        if self.kind == "van-rossum":
            total = van_rossum_errors(answer, torch.where(known, y, answer.detach())).sum()
        else:
            total = LOSSES[self.kind](answer[known], y[known], reduction="sum")
        return total / known.sum().clamp(min=1)

    @torch.no_grad()
    def score(self, outputs: Tensor, targets: Targets) -> float:
        """Return the sum over the samples of their mean squared errors."""
        answer, y, known = self.compared(outputs, targets.first)
        errors = torch.where(known, answer - y, 0).square().sum(-1)
        counts = known.sum(-1)
        if self.at == "steps":
            errors, counts = errors.sum(0), counts.sum(0)
        return float((errors / counts.clamp(min=1)).sum())

    def meter(self, steps: int) -> Meter:
        return _RegressionMeter(self)

    def compared(
        self, outputs: Tensor, targets: Tensor, *, decided: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return answers and targets of equal shape `[..., B, K]`, and which targets are known.

        Args:
            outputs: `[T, B, K]`.
            targets: of the data.
            decided: take what the readout decides, as `predict` does, not what a loss compares.
        """
        outputs, steps = outputs.float(), len(outputs)
        y = targets if targets.dim() > (2 if self.at == "steps" else 1) else targets.unsqueeze(-1)
        if self.at == "steps":
            aligned = y if self._coding is None else self._coding.step_targets(y)
            y = aligned.transpose(0, 1)[:steps]
        if self.at == "steps":
            answer = outputs
        elif decided and self.readout is not None and not self.readout.answers_with_mean:
            answer = self.readout.decide(outputs).scores
        else:
            answer = self.answer(outputs)
        known = ~y.isnan()
        return answer, y.float(), known


class _RegressionMeter(Meter):
    def __init__(self, task: Regression) -> None:
        self._task = task
        # By output: known values n, Σ e², Σ |e|, Σ y, Σ y², Σ loss; and the samples.
        self._sums = torch.zeros(6, max(task.outputs, 1), dtype=torch.float64)
        self._samples = torch.zeros(1, dtype=torch.float64)

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        found = self._task.compared(outputs, targets, decided=True)
        answer, y, known = (each.cpu() for each in found)
        shape = (-1, answer.shape[-1])
        error = torch.where(known, answer - y, 0).double()
        y = torch.where(known, y, 0).double().reshape(shape)
        nothing = torch.zeros_like(error)
        if self._task.kind == "van-rossum":
            losses = van_rossum_errors(error, nothing).reshape(shape)
        else:
            losses = LOSSES[self._task.kind](error, nothing, reduction="none").reshape(shape)
        error = error.reshape(shape)
        parts = (known.double().reshape(shape), error.square(), error.abs(), y, y.square(), losses)
        self._sums += torch.stack([part.sum(0) for part in parts])
        self._samples += targets.shape[0]

    def result(self, total: Gather, gather: Gather) -> Result:
        count, squares, absolute, y, y_squares, losses = total(self._sums)
        known = count.sum().clamp(min=1)
        spread = y_squares - y.square() / count.clamp(min=1)
        r2 = None
        if bool((spread > 1e-12 * y_squares.clamp(min=1e-300)).all()):
            r2 = float((1 - squares / spread).mean())
        values = {
            "mse": float(squares.sum() / known),
            "mae": float(absolute.sum() / known),
            "r2": r2,
            "loss": float(losses.sum() / known),
        }
        return Result(int(total(self._samples)), values)
