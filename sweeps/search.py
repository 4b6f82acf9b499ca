"""Search: settings that Optuna suggests one after the other, by validation data alone.

The study is the file `search.journal` in the sweep's folder. A trial is a member `trial-N`. An
interrupted trial is resumed, with the settings that it still lacks; a trial whose training failed
stays failed, because a learning rate at which training diverges is a result too. The objective is
the primary metric of the task, which is maximized or minimized as its direction says.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import AsnnError, ConfigError, DataError
from ..core.metric import ACCURACY, Metric
from ..learning.device import derived_seed
from ..learning.recipe.schema import Recipe
from ..records.layout import TRIAL
from ..tasks.factory import create_task
from .definition import Definition
from .folder import SweepFolder
from .grid import Point
from .journal import open_journal
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
        DataError: `search.journal` of an earlier search is damaged.
        AsnnError: the operating system refuses to read or to write it.
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
            self._storage = open_journal(self._optuna, path)
            self._study = self._optuna.create_study(
                study_name=STUDY,
                storage=self._storage,
                direction="maximize" if self.metric.greater_is_better else "minimize",
                load_if_exists=True,
            )
            for trial in self._study.get_trials():
                self._require_settings(trial)
        except AsnnError:
            raise
        except Exception as error:  # Optuna does not check what it reads
            raise DataError(
                f"{path} is damaged",
                why=str(error)
                if isinstance(error, ValueError)
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
            member = self._member(trial.number, self._all_settings(trial))
            if member is not None and not self._tell_result(member):
                yield member
        while (number := len(self._study.get_trials(deepcopy=False))) < self.definition.trials:
            self._study.sampler = self._sampler(number)
            trial = self._study.ask(self._distributions)
            member = self._member(trial.number, trial.params)
            if member is not None:
                yield member

    def _sampler(self, number: int) -> Any:
        """Return the sampler of a trial.

        Its random numbers depend only on the seed and the trial, so that a resumed search suggests
        what it would have suggested without the interruption.
        """
        return self._optuna.samplers.TPESampler(
            seed=derived_seed(self.definition.seeds[0], number) % 2**32,
            constant_liar=True,  # so that parallel trials differ
        )

    def _all_settings(self, trial: Any) -> dict[str, Any]:
        """Return the settings of a trial; those that a kill left out are suggested as by `ask`."""
        if trial.params.keys() == self._distributions.keys():
            return trial.params
        storage, sampler = self._storage, self._sampler(trial.number)
        study_id = storage.get_study_id_from_name(STUDY)
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
        settings = {}
        for key, distribution in self._distributions.items():
            # A setting that is known is drawn as well: the next one has the next random number.
            drawn = sampler.sample_independent(self._study, trial, key, distribution)
            settings[key] = trial.params.get(key, drawn)
            if key not in trial.params:
                value = distribution.to_internal_repr(drawn)
                storage.set_trial_param(trial_id, key, value, distribution)
        return settings

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
        if self.metric not in (task.primary, *task.primaries):
            raise ConfigError(
                "the task has another primary metric",
                why=f"task {recipe.task.name} has {task.primary.title} ({task.primary.direction}), "
                f"the search compares {self.metric.title} ({self.metric.direction})",
            )

    def _require_settings(self, trial: Any) -> None:
        """Refuse a trial with settings of another search; a kill may have left some out.

        Raises:
            ValueError, IndexError: with the reason.
        """
        known = {each.key for each in self.definition.ranges}
        found = set(trial.params)
        if not found <= known or (trial.state.is_finished() and found != known):
            raise ValueError(
                f"trial {trial.number} has the settings {', '.join(sorted(found)) or 'none'}, "
                f"the search has {', '.join(sorted(known))}"
            )
        self._point(trial.params)

    def _point(self, parameters: dict[str, Any]) -> Point:
        return tuple(
            (each.key, each.choices[parameters[each.key]] if each.choices else parameters[each.key])
            for each in self.definition.ranges
            if each.key in parameters
        )


def _name(number: int) -> str:
    return f"{TRIAL}{number:04d}"


def _distribution(optuna: Any, range_: Range) -> Any:
    kinds = optuna.distributions
    if range_.choices:
        # By index, because a choice may be a list.
        return kinds.CategoricalDistribution(range(len(range_.choices)))
    kind = kinds.IntDistribution if isinstance(range_.low, int) else kinds.FloatDistribution
    return kind(range_.low, range_.high, log=range_.log)
