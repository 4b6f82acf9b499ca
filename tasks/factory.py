"""The registry of tasks."""

from __future__ import annotations

from typing import Any

from ..core.registry import Registry, check_options
from .base import Task

task_registry = Registry(
    "tasks",
    {
        "classification": "tasks.classification:Classification",
        "step-classification": "tasks.step_classification:StepClassification",
        "regression": "tasks.regression:Regression",
        "reconstruction": "tasks.reconstruction:Reconstruction",
        "detection": "tasks.detection.task:Detection",
        "flow": "tasks.flow.task:Flow",
    },
)


def create_task(name: str, **options: Any) -> Task:
    """Return the task called `name`.

    Args:
        name: `classification`, `step-classification`, `regression`, `reconstruction`,
            `detection`, `flow`, or a task that an installed package adds.
        options: options of the task.

    Raises:
        ConfigError: an unknown name or an invalid option.
    """
    task = task_registry.get(name)
    check_options("task", name, task, options)
    return task(**options)
