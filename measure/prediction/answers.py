"""Answers of a task, from the outputs of a network at its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from ...core.errors import ConfigError
from ...models.readouts import Readout
from ...models.readouts.decision import Decision, confident
from ...tasks.base import Task
from ...tasks.reconstruction import Reconstruction
from ...tasks.regression import Regression
from ...tasks.step_classification import StepClassification
from ..early_exit import ExitRule, require_steps
from .prediction import Ranked

Kind = Literal["class", "class of each step", "values", "log-odds", "values of each step"]


def kind_of(task: Task) -> Kind:
    """Return what a task answers.

    Raises:
        ConfigError: it is a task of another package, whose answer is none of these.
    """
    if task.one_class:
        return "class"
    if isinstance(task, StepClassification):
        return "class of each step"
    if isinstance(task, Reconstruction):
        return "log-odds" if task.kind == "bce" else "values"
    if isinstance(task, Regression):
        return "values of each step" if task.at == "steps" else "values"
    raise ConfigError(
        f"the answers of the task {task.name} cannot be shown",
        why="they are neither classes nor real values",
        remedy="compute them: asnn.open_run(RUN).model(x) gives the outputs of each step",
    )


@dataclass(frozen=True)
class Answers:
    """From outputs `[T, B, K]` to the fields of a `Prediction`.

    Args:
        kind: what the task answers.
        labels: names of the classes.
        outputs: number of outputs K.
        readout: what turns the outputs of the steps into an answer.
        exit: stop at the first step with that confidence; None runs all steps.
        top: how many classes to name.

    Raises:
        ConfigError: `exit` or `top` without one class for an input, or `exit` at exact times.
    """

    kind: Kind
    labels: list[str]
    outputs: int
    readout: Readout
    exit: ExitRule | None = None
    top: int = 1

    def __post_init__(self) -> None:
        for option, given in (("--exit", self.exit is not None), ("--top", self.top > 1)):
            if given and self.kind != "class":
                raise ConfigError(
                    f"{option} is for networks that answer with one class",
                    why=f"this one answers with {self.kind}",
                    remedy=f"leave {option} out",
                )
        if self.exit is not None:
            require_steps(self.readout)

    @property
    def has_times(self) -> bool:
        """Whether an input is decided at an exact time."""
        return callable(getattr(self.readout, "decision_times", None))

    @property
    def has_values(self) -> bool:
        """Whether an answer are real values: of `log-odds` o the shares σ(o)."""
        return self.kind in ("values", "log-odds")

    @property
    def decides(self) -> bool:
        """Whether an input may be decided before the last step."""
        if self.kind != "class" and not self.has_values:
            return False
        return self.exit is not None or callable(getattr(self.readout, "crossed", None))

    def decided(self, outputs: Tensor) -> Tensor:
        """Return which inputs are decided, `[B]`, from the outputs so far `[t, B, K]`."""
        return self._decision(outputs.float()).decided

    def _decision(self, outputs: Tensor) -> Decision:
        if self.exit is None:
            return self.readout.decide(outputs)
        return confident(self.readout.so_far(outputs), self.exit.threshold)

    def of(self, outputs: Tensor, every: int = 1) -> list[dict[str, Any]]:
        """Return the fields for each of the B inputs.

        Args:
            outputs: of all steps, or of those up to that at which all inputs are decided.
            every: how many steps each of them takes.
        """
        outputs = outputs.float().cpu()
        total = every * len(outputs)
        if self.kind == "class of each step":
            confidence, index = outputs.softmax(2).max(2)
            answers: Any = [
                {
                    "labels": tuple(self.labels[each] for each in indices),
                    "confidences": tuple(confidences),
                }
                for indices, confidences in zip(
                    index.T.tolist(), confidence.T.tolist(), strict=True
                )
            ]
        elif self.kind == "values of each step":
            answers = [{"values": each} for each in outputs.transpose(0, 1).tolist()]
        else:
            return self._of_decisions(outputs, every)
        return [{**each, "step": total, "decided": True} for each in answers]

    def _of_decisions(self, outputs: Tensor, every: int) -> list[dict[str, Any]]:
        scores, step, decided = self._decision(outputs)
        steps = [
            {"step": every * (each + 1), "decided": done}
            for each, done in zip(step.tolist(), decided.tolist(), strict=True)
        ]
        if self.has_times:
            times = self.readout.decision_times(outputs).tolist()  # type: ignore[operator]
            steps = [{**each, "time": time} for each, time in zip(steps, times, strict=True)]
        if self.has_values:
            scores = scores.sigmoid() if self.kind == "log-odds" else scores
            return [{"values": each, **at} for each, at in zip(scores.tolist(), steps, strict=True)]
        # By the scores: different ones can round to the same probability.
        order = scores.sort(dim=1, descending=True, stable=True).indices[:, : self.top]
        confidence = scores.softmax(1).gather(1, order)
        answers = []
        for indices, confidences, at in zip(
            order.tolist(), confidence.tolist(), steps, strict=True
        ):
            top = tuple(
                Ranked(self.labels[index], index, value)
                for index, value in zip(indices, confidences, strict=True)
            )
            first = top[0]
            answer = {"label": first.label, "index": first.index, "confidence": first.confidence}
            answers.append({**answer, "top": top, **at})
        return answers
