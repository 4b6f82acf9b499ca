"""What a network answers to an input, by the kind of the answer."""

from __future__ import annotations

from ....core.errors import ConfigError
from ....core.registry import Registry
from ....tasks.base import Task
from .base import Answers

__all__ = ["Answers", "answer_registry", "answers_of"]

answer_registry = Registry(
    "answers",
    {
        "class": "measure.prediction.answers.classes:ClassAnswers",
        "step-classes": "measure.prediction.answers.classes:StepClassAnswers",
        "values": "measure.prediction.answers.values:ValueAnswers",
        "step-values": "measure.prediction.answers.values:StepValueAnswers",
        "log-odds": "measure.prediction.answers.values:LogOddsAnswers",
        "boxes": "measure.prediction.answers.boxes:BoxAnswers",
        "flow": "measure.prediction.answers.flow:FlowAnswers",
    },
)


def answers_of(task: Task) -> type[Answers]:
    """Return what makes the answers of a task: the class that `task.answers` names.

    Raises:
        ConfigError: it names none, or one that is not known.
    """
    name = task.answers or ("class" if task.one_class else "")
    if not name:
        raise ConfigError(
            f"the answers of the task {task.name} cannot be shown",
            why=f"it names no kind of answers: {', '.join(answer_registry.names())}",
            remedy="set `answers` in its class, or compute them: asnn.open_run(RUN).model(x) gives "
            "the outputs of each step",
        )
    made: type[Answers] = answer_registry.get(name)
    return made
