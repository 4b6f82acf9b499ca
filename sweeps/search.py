"""Search: settings that Optuna suggests one after the other, by validation accuracy alone.

The study lies in the sweep's folder, `search.journal`. A trial is a member `trial-N`; one that was
interrupted is gone on with, and one whose training failed has failed for good: a learning rate at
which training diverges is an answer too.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import ConfigError
from ..learning.device import derived_seed
from .definition import Definition
from .folder import SweepFolder
from .grid import Point
from .plan import Member, resolve, with_seed
from .ranges import Range
from .run import Failure

STUDY = "sweep"
SPLIT = "validation"  # what a search may see; the test data are for `asnn eval` afterwards


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
            remedy="pip install 'asnn[search]', or go through values with --grid",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@dataclass
class Search:
    """A study and the members that it suggests.

    Args:
        definition: with ranges and a number of trials.
        folder: of the sweep.
        device: where to train, instead of the recipe's own device.

    Raises:
        ConfigError: Optuna is not installed.
    """

    definition: Definition
    folder: SweepFolder
    device: str | None = None
    failures: dict[str, Failure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._optuna = require_optuna()
        journal = self._optuna.storages.journal.JournalFileBackend(
            str(self.folder.path / "search.journal")
        )
        self._study = self._optuna.create_study(
            study_name=STUDY,
            storage=self._optuna.storages.JournalStorage(journal),
            direction="maximize",
            load_if_exists=True,
        )
        self._distributions = {
            each.key: _distribution(self._optuna, each) for each in self.definition.ranges
        }

    def members(self) -> Iterator[Member]:
        """Yield the members to train: interrupted ones first, then new ones, each asked for when
        the one before has its place."""
        states = self._optuna.trial.TrialState
        for trial in self._study.get_trials(states=(states.RUNNING,)):
            member = self._member(trial.number, trial.params)
            if member is not None and not self._told(member):
                yield member
        while (number := len(self._study.get_trials(deepcopy=False))) < self.definition.trials:
            # What is drawn depends on the seed and the trial alone: a search that goes on draws
            # what it would have drawn, not once more what it began with.
            self._study.sampler = self._optuna.samplers.TPESampler(
                seed=derived_seed(self.definition.seeds[0], number) % 2**32,
                constant_liar=True,  # trials that run side by side should not be alike
            )
            trial = self._study.ask(self._distributions)
            member = self._member(trial.number, trial.params)
            if member is not None:
                yield member

    def tell(self, member: Member, failure: Failure | None) -> None:
        """Take note of what came of a member."""
        if failure is None and self._told(member):
            return
        self.failures[member.name] = failure or Failure("its evaluation is missing")
        self._fail(member.place, self.failures[member.name].what)

    def results(self) -> list[dict[str, Any]]:
        """Return the trials, the best first: name, settings, state, validation accuracy, why."""
        reasons = self._study.user_attrs
        trials = [
            {
                "name": _name(trial.number),
                "settings": dict(self._point(trial.params)),
                "state": trial.state.name.lower(),
                "validation_accuracy": trial.value,
                "why": reasons.get(_name(trial.number)),
            }
            for trial in self._study.get_trials()
        ]
        return sorted(trials, key=lambda each: -(each["validation_accuracy"] or 0.0))

    def _told(self, member: Member) -> bool:
        """Tell the study what a finished member is worth; return whether it is finished."""
        record = self.folder.record(member.name, SPLIT)
        if record is not None:
            self._study.tell(member.place, record["validation_accuracy"])
        return record is not None

    def _fail(self, number: int, why: str) -> None:
        self._study.set_user_attr(_name(number), why)
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)

    def _member(self, number: int, parameters: dict[str, Any]) -> Member | None:
        """Return the member of a trial; None, and the trial fails, where it cannot be trained."""
        point = self._point(parameters)
        try:
            recipe, _ = resolve(self.definition, point, self.device)
        except ConfigError as error:
            failure = Failure("its settings cannot be trained", error.why)
            self.failures[_name(number)] = failure
            self._fail(number, error.why)
            return None
        return Member(_name(number), number, point, with_seed(recipe, self.definition.seeds[0]))

    def _point(self, parameters: dict[str, Any]) -> Point:
        return tuple(
            (each.key, each.choices[parameters[each.key]] if each.choices else parameters[each.key])
            for each in self.definition.ranges
        )


def _name(number: int) -> str:
    return f"trial-{number:04d}"


def _distribution(optuna: Any, wanted: Range) -> Any:
    kinds = optuna.distributions
    if wanted.choices:
        # By their places, for a choice may be a list.
        return kinds.CategoricalDistribution(range(len(wanted.choices)))
    kind = kinds.IntDistribution if isinstance(wanted.low, int) else kinds.FloatDistribution
    return kind(wanted.low, wanted.high, log=wanted.log)
