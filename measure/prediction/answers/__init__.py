"""What a network answers to an input, by the kind of the answer."""

from __future__ import annotations

from ....core.errors import ConfigError
from ....tasks.base import Task
from ....tasks.detection import Detection
from ....tasks.reconstruction import Reconstruction
from ....tasks.regression import Regression
from ....tasks.step_classification import StepClassification
from .base import Answers
from .boxes import BoxAnswers
from .classes import ClassAnswers, StepClassAnswers
from .values import LogOddsAnswers, StepValueAnswers, ValueAnswers

__all__ = ["Answers", "answers_of"]


def answers_of(task: Task) -> type[Answers]:
    """Return what makes the answers of a task.

    Raises:
        ConfigError: it is a task of another package, whose answer is of none of these kinds.
    """
    if task.one_class:
        return ClassAnswers
    if isinstance(task, StepClassification):
        return StepClassAnswers
    if isinstance(task, Reconstruction):
        return LogOddsAnswers if task.kind == "bce" else ValueAnswers
    if isinstance(task, Regression):
        return StepValueAnswers if task.at == "steps" else ValueAnswers
    if isinstance(task, Detection):
        return BoxAnswers
    raise ConfigError(
        f"the answers of the task {task.name} cannot be shown",
        why="they are neither classes nor real values",
        remedy="compute them: asnn.open_run(RUN).model(x) gives the outputs of each step",
    )
