"""Tasks: what a network is asked, how its outputs are scored, which metric decides."""

from .base import Meter, Result, Task
from .factory import create_task, task_registry

__all__ = ["Meter", "Result", "Task", "create_task", "task_registry"]
