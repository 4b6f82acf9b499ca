"""Logs: observers that write the metrics of a training for other programs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from ..observer import Observer, SilentObserver

if TYPE_CHECKING:
    from ..training import Training


class Log(SilentObserver):
    """An observer that `train.log` names, made without arguments for each training.

    A subclass overrides what it needs of `started`, `batch_done`, `epoch_done` and `ended`. In a
    training of several processes only the first has logs. When a training is resumed, `started`
    finds the epochs so far in `training.progress.history`, and those after the last checkpoint are
    trained again: it removes what it has of them.

    Attributes:
        package: the module that it needs; a training without it is refused before it begins.
    """

    package: ClassVar[str] = ""

    def ended(self, training: Training, summary: dict[str, Any] | None) -> None:
        """The training has ended, with its summary, or was stopped or failed, with None."""


class Logs:
    """An observer that also calls logs; one that fails is left out from then on, with a warning.

    Args:
        observer: called first; its errors end the training.
        logs: the classes, by name.
    """

    def __init__(self, observer: Observer, logs: dict[str, type[Log]]) -> None:
        self._observer = observer
        self._logs: dict[str, Log] = {}
        for name, log in logs.items():
            self._guarded(name, lambda name=name, log=log: self._logs.update({name: log()}))

    def started(self, training: Training) -> None:
        self._observer.started(training)
        self._call("started", training)

    def batch_done(self, training: Training, loss: float, score: float, rate: float) -> None:
        self._observer.batch_done(training, loss, score, rate)
        self._call("batch_done", training, loss, score, rate)

    def epoch_done(self, training: Training, metrics: dict[str, Any]) -> None:
        self._observer.epoch_done(training, metrics)
        self._call("epoch_done", training, metrics)

    def ended(self, training: Training, summary: dict[str, Any] | None) -> None:
        """End the logs."""
        self._call("ended", training, summary)

    def _call(self, event: str, *arguments: Any) -> None:
        for name, log in list(self._logs.items()):
            function = getattr(log, event, None)
            if function is not None:
                self._guarded(name, lambda function=function: function(*arguments))

    def _guarded(self, name: str, call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:  # a log may raise anything; a training is worth more
            self._logs.pop(name, None)
            reason = next(iter(str(error).splitlines()), "")
            warnings.warn(
                f"the log {name} is left out from now on: {type(error).__name__}: {reason}",
                stacklevel=2,
            )
