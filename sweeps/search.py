"""Search: settings that Optuna suggests one after the other, by validation data alone.

The study is the file `search.journal` in the sweep's folder. A trial is a member `trial-N`. An
interrupted trial is resumed; a trial whose training failed stays failed, because a learning rate at
which training diverges is a result too. The objective is the primary metric of the task, which is
maximized or minimized as its direction says.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.documents import read_json
from ..core.errors import ConfigError, DataError
from ..core.metric import ACCURACY, Metric
from ..core.reading import MAX_LINES, read_regular, why_unreadable
from ..learning.device import derived_seed
from ..learning.recipe.schema import Recipe
from ..tasks.factory import create_task
from .definition import Definition
from .folder import SweepFolder
from .grid import Point
from .plan import Member, resolve, with_seed
from .pool import Failure
from .ranges import Range

STUDY = "sweep"
SPLIT = "validation"  # the data of a search; test data are for `asnn eval` afterwards


def require_optuna() -> Any:
    """Return the package Optuna.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        optuna = importlib.import_module("optuna")
        importlib.import_module("optuna.storages.journal")
    except ImportError as error:
        raise ConfigError(
            "--search needs Optuna, which is not installed",
            why=str(error),
            remedy="pip install 'asnn[search]', or list values with --grid",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@dataclass
class Search:
    """A study and the members that it suggests.

    Args:
        definition: with ranges and a number of trials.
        folder: of the sweep.
        device: for training, instead of the recipe's own.
        metric: the primary metric of the task.

    Raises:
        ConfigError: Optuna is not installed.
        DataError: `search.journal` of an earlier search cannot be read.
    """

    definition: Definition
    folder: SweepFolder
    device: str | None = None
    metric: Metric = ACCURACY
    failures: dict[str, Failure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._optuna = require_optuna()
        path = self.folder.path / "search.journal"
        try:
            _require_journal(path)
            journal = self._optuna.storages.journal.JournalFileBackend(str(path))
            self._study = self._optuna.create_study(
                study_name=STUDY,
                storage=self._optuna.storages.JournalStorage(journal),
                direction="maximize" if self.metric.greater_is_better else "minimize",
                load_if_exists=True,
            )
            for trial in self._study.get_trials():
                self._point(trial.params)
        except Exception as error:  # Optuna does not check what it reads
            raise DataError(
                f"{path} is damaged",
                why=why_unreadable(error)
                if isinstance(error, OSError | ValueError)
                else f"{type(error).__name__}: {error}",
                remedy="start a new search with another --out",
            ) from error
        self._distributions = {
            each.key: _distribution(self._optuna, each) for each in self.definition.ranges
        }

    def members(self) -> Iterator[Member]:
        """Yield the members to train: interrupted ones first, then new ones.

        A new one is suggested when it is taken, with the results until then.
        """
        states = self._optuna.trial.TrialState
        for trial in self._study.get_trials(states=(states.RUNNING,)):
            member = self._member(trial.number, trial.params)
            if member is not None and not self._tell_result(member):
                yield member
        while (number := len(self._study.get_trials(deepcopy=False))) < self.definition.trials:
            # The random numbers depend only on the seed and the trial, so that a resumed search
            # suggests what it would have suggested without the interruption.
            self._study.sampler = self._optuna.samplers.TPESampler(
                seed=derived_seed(self.definition.seeds[0], number) % 2**32,
                constant_liar=True,  # so that parallel trials differ
            )
            trial = self._study.ask(self._distributions)
            member = self._member(trial.number, trial.params)
            if member is not None:
                yield member

    def tell(self, member: Member, failure: Failure | None) -> None:
        """Record the outcome of a member."""
        if failure is None and self._tell_result(member):
            return
        self.failures[member.name] = failure or Failure("its evaluation is missing")
        self._fail(member.index, self.failures[member.name].what)

    def results(self) -> list[dict[str, Any]]:
        """Return the trials, the best first: name, settings, state, metric, why."""
        reasons = self._study.user_attrs
        trials = [
            {
                "name": _name(trial.number),
                "settings": dict(self._point(trial.params)),
                "state": trial.state.name.lower(),
                self.value_key: trial.value,
                "why": reasons.get(_name(trial.number)),
            }
            for trial in self._study.get_trials()
        ]
        return sorted(trials, key=self._best_first)

    @property
    def value_key(self) -> str:
        """The key of the metric on validation data."""
        return f"validation_{self.metric.name}"

    def _best_first(self, trial: dict[str, Any]) -> tuple[bool, float]:
        value = trial[self.value_key]
        return value is None, 0.0 if value is None else -self.metric.rank(value)

    def _tell_result(self, member: Member) -> bool:
        """Tell the study the result of a finished member; return whether it is finished."""
        record = self.folder.record(member.name, SPLIT)
        value = None if record is None else record.get(self.value_key)
        if value is not None:
            self._study.tell(member.index, value)
        return value is not None

    def _fail(self, number: int, why: str) -> None:
        self._study.set_user_attr(_name(number), why)
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)

    def _member(self, number: int, parameters: dict[str, Any]) -> Member | None:
        """Return the member of a trial; None, and the trial fails, if it cannot be trained."""
        point = self._point(parameters)
        try:
            recipe, _ = resolve(self.definition, point, self.device)
            self._require_metric(recipe)
        except ConfigError as error:
            failure = Failure("its settings cannot be trained", error.why)
            self.failures[_name(number)] = failure
            self._fail(number, error.why)
            return None
        return Member(_name(number), number, point, with_seed(recipe, self.definition.seeds[0]))

    def _require_metric(self, recipe: Recipe) -> None:
        """Refuse settings of a task with another primary metric.

        Raises:
            ConfigError: their results do not compare.
        """
        if not any(each.key.startswith("task.") for each in self.definition.ranges):
            return
        task = create_task(recipe.task.name, **recipe.task.options())
        if task.primary != self.metric:
            raise ConfigError(
                "the task has another primary metric",
                why=f"task {recipe.task.name} has {task.primary.title} ({task.primary.direction}), "
                f"the search compares {self.metric.title} ({self.metric.direction})",
            )

    def _point(self, parameters: dict[str, Any]) -> Point:
        return tuple(
            (each.key, each.choices[parameters[each.key]] if each.choices else parameters[each.key])
            for each in self.definition.ranges
        )


def _require_journal(path: Path) -> None:
    """Refuse a journal that is not lines of JSON; a last line may have been cut off.

    Raises:
        OSError, ValueError: with the reason.
    """
    if os.path.lexists(path):
        for line in read_regular(path, max_size=MAX_LINES).splitlines(keepends=True):
            if line.endswith(b"\n"):
                read_json(line)


def _name(number: int) -> str:
    return f"trial-{number:04d}"


def _distribution(optuna: Any, range_: Range) -> Any:
    kinds = optuna.distributions
    if range_.choices:
        # By index, because a choice may be a list.
        return kinds.CategoricalDistribution(range(len(range_.choices)))
    kind = kinds.IntDistribution if isinstance(range_.low, int) else kinds.FloatDistribution
    return kind(range_.low, range_.high, log=range_.log)
