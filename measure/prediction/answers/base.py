"""The interface of answers: from the outputs of a network to what is said of an input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from ....coding.samples import Batch
from ....core.errors import ConfigError
from ....models.readouts import Readout
from ....models.readouts.decision import Decision, confident
from ....tasks.base import Task
from ...early_exit import ExitRule, require_steps
from ..prediction import Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..inputs.sample import Sample


class Answers:
    """From outputs `[T, B, ...]` to the fields of a `Prediction`, and to the cells of tables.

    Args:
        task: what the network is asked.
        labels: names of the classes.
        outputs: number of outputs K.
        readout: what turns the outputs of the steps into an answer.
        exit: stop at the first step with that confidence; None runs all steps.
        top: how many classes to name.
        score: the least probability of a box; None for that of the answers.

    Attributes:
        kind: what the network answers with, in words.
        one_class: whether the answer is one class.
        needs_code: whether the task has to know the code of the samples.
        per_step: whether there is an answer to each step, instead of one to the input.
        has_boxes: whether an answer has boxes in the input.
        may_decide: whether a readout may decide an input before the last step.

    Raises:
        ConfigError: `exit` or `top` without one class for an input, `exit` at exact times, or
            `score` without boxes.
    """

    kind: ClassVar[str]
    one_class: ClassVar[bool] = False
    per_step: ClassVar[bool] = False
    needs_code: ClassVar[bool] = False
    may_decide: ClassVar[bool] = False
    has_boxes: ClassVar[bool] = False

    def __init__(
        self,
        task: Task,
        labels: list[str],
        outputs: int,
        readout: Readout,
        exit: ExitRule | None = None,
        top: int = 1,
        score: float | None = None,
    ) -> None:
        self.task = task
        self.labels = labels
        self.outputs = outputs
        self.readout = readout
        self.exit = exit
        self.top = top
        for option, given in (("--exit", exit is not None), ("--top", top > 1)):
            if given and not self.one_class:
                raise ConfigError(
                    f"{option} is for networks that answer with one class",
                    why=f"this one answers with {self.kind}",
                    remedy=f"leave {option} out",
                )
        if score is not None and not self.has_boxes:
            raise ConfigError(
                "--score is for networks that answer with boxes",
                why=f"this one answers with {self.kind}",
                remedy="leave --score out",
            )
        if exit is not None:
            require_steps(readout)
        self.prepare(score)

    def prepare(self, score: float | None) -> None:
        """Prepare the task, if it makes the answers."""

    @classmethod
    def class_count(cls, outputs: int) -> int:
        """Return how many classes so many outputs are of."""
        return outputs

    @property
    def has_times(self) -> bool:
        """Whether an input is decided at an exact time."""
        return callable(getattr(self.readout, "decision_times", None))

    @property
    def decides(self) -> bool:
        """Whether an input may be decided before the last step."""
        crosses = callable(getattr(self.readout, "crossed", None))
        return self.may_decide and (self.exit is not None or crosses)

    def decided(self, outputs: Tensor) -> Tensor:
        """Return which inputs are decided, `[B]`, from the outputs so far `[t, B, K]`."""
        return self.decision(outputs.float()).decided

    def decision(self, outputs: Tensor) -> Decision:
        """Return the answer of outputs, by the rule for early exit or by the readout."""
        if self.exit is None:
            return self.readout.decide(outputs)
        return confident(self.readout.so_far(outputs), self.exit.threshold)

    def of(self, outputs: Tensor, x: Batch | None = None, every: int = 1) -> list[dict[str, Any]]:
        """Return the fields for each of the B inputs.

        Args:
            outputs: of all steps, or of those up to that at which all inputs are decided.
            x: the inputs, as the network takes them.
            every: how many steps each output takes.
        """
        outputs = outputs.float().cpu()
        if self.per_step:
            at = {"step": every * len(outputs), "decided": True}
            return [{**each, **at} for each in self.of_steps(outputs)]
        scores, step, decided = self.decision(outputs)
        steps: list[dict[str, Any]] = [
            {"step": every * (each + 1), "decided": done}
            for each, done in zip(step.tolist(), decided.tolist(), strict=True)
        ]
        if self.has_times:
            times = self.readout.decision_times(outputs).tolist()  # type: ignore[operator]
            steps = [{**each, "time": time} for each, time in zip(steps, times, strict=True)]
        found = self.of_scores(scores, x)
        return [{**each, **at} for each, at in zip(found, steps, strict=True)]

    def of_steps(self, outputs: Tensor) -> list[dict[str, Any]]:
        """Return the fields for each of the B inputs, of outputs `[T, B, K]`."""
        raise NotImplementedError

    def of_scores(self, scores: Tensor, x: Batch | None) -> list[dict[str, Any]]:
        """Return the fields for each of the B inputs, of their answers `[B, ...]`."""
        raise NotImplementedError

    @property
    def columns(self) -> list[str]:
        """Names of the columns in a table of data."""
        raise NotImplementedError

    def rows(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of an answer, given as `Prediction.document`, in a table of data."""
        return [document]

    @property
    def heads(self) -> list[str]:
        """Names of the columns in a table to read."""
        raise NotImplementedError

    def cells(self, prediction: Prediction) -> list[str]:
        """Return the texts of an answer in a table to read."""
        raise NotImplementedError

    def caption(self, prediction: Prediction) -> str:
        """Return a few words below the picture of an input."""
        raise NotImplementedError

    def draw(self, axes: Axes, prediction: Prediction, sample: Sample) -> None:
        """Draw an answer over the picture of an input, if it has places there."""


MAX_PARTS = 8  # of an answer for each step, or of many values


def numbers(values: list[float]) -> str:
    """Return the first values as text."""
    return parts([f"{value:.4g}" for value in values], ", ")


def parts(texts: list[str], separator: str) -> str:
    """Return the first texts joined, and how many more there are."""
    more = len(texts) - MAX_PARTS
    shown = separator.join(texts[:MAX_PARTS])
    return f"{shown} and {more:,} more" if more > 0 else shown
