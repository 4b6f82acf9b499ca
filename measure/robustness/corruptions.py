"""Corruptions by name, and the primary metric of a network against their severity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...coding.samples import PLURALS
from ...core.errors import ConfigError
from ...core.metric import ACCURACY
from ...core.registry import Registry
from ...datasets.base import Split
from ...models.network import SpikingNetwork
from ..evaluation import Evaluation, evaluate

corruption_registry = Registry(
    "corruptions",
    {
        "gaussian-noise": "measure.robustness.inputs:GAUSSIAN_NOISE",
        "salt-and-pepper": "measure.robustness.inputs:SALT_AND_PEPPER",
        "blur": "measure.robustness.inputs:BLUR",
        "contrast": "measure.robustness.inputs:CONTRAST",
        "event-drop": "measure.robustness.events:EVENT_DROP",
        "event-noise": "measure.robustness.events:EVENT_NOISE",
        "hot-pixels": "measure.robustness.events:HOT_PIXELS",
        "event-jitter": "measure.robustness.events:EVENT_JITTER",
        "event-shuffle": "measure.robustness.events:EVENT_SHUFFLE",
        "polarity-drop": "measure.robustness.events:POLARITY_DROP",
        "series-noise": "measure.robustness.series:SERIES_NOISE",
        "series-drop": "measure.robustness.series:SERIES_DROP",
        "series-shuffle": "measure.robustness.series:SERIES_SHUFFLE",
        "spike-drop": "measure.robustness.inputs:SPIKE_DROP",
        "spike-jitter": "measure.robustness.inputs:SPIKE_JITTER",
        "time-drop": "measure.robustness.times:TIME_DROP",
        "time-jitter": "measure.robustness.times:TIME_JITTER",
        "time-shuffle": "measure.robustness.times:TIME_SHUFFLE",
        "quantize": "measure.robustness.networks:QUANTIZE",
        "dead-neurons": "measure.robustness.networks:DEAD_NEURONS",
    },
)


@dataclass(frozen=True)
class Corruption:
    """A corruption of inputs or of the network, with its severities.

    Attributes:
        apply: `(network, severity, seed) -> network` with the same interface; it does not change
            its argument.
        unit: of the severity; severity 0 is always the clean network.
        severities: the defaults, from mild to severe.
        least, most: the range of severities other than 0; by default that of a share.
        whole: whether a severity must be an integer.
        of_spikes: whether it changes the spikes of a code; the code must then have spikes.
        takes: the kinds of samples that it corrupts, `image`, `events` or `series`; None if it
            does not depend on them.
        of_values: whether the samples must be values: series of zeros and ones are spikes.
        of_steps: whether it is for neurons with time steps, not for exact times.
        of_times: whether it is for exact times, not for time steps; the code then has a `window`.
    """

    apply: Callable[[SpikingNetwork, float, int], SpikingNetwork]
    unit: str
    severities: tuple[float, ...]
    least: float = 0.0
    most: float = 1.0
    whole: bool = False
    of_spikes: bool = False
    takes: frozenset[str] | None = None
    of_values: bool = False
    of_steps: bool = False
    of_times: bool = False

    def fits(self, model: SpikingNetwork) -> bool:
        """Return whether it applies to a network."""
        return self.misfit(model) is None

    def misfit(self, model: SpikingNetwork) -> str | None:
        """Return what about a network keeps it from applying; None if it applies."""
        coding = model.coding
        kinds = coding.takes if coding.spec is None else {coding.spec.kind}
        if self.takes is not None and not self.takes & kinds:
            return f"the samples are {_plurals(kinds)}"
        if self.of_values and coding.spec is not None and coding.spec.binary:
            return f"the samples are {_plurals(kinds)} of spikes"
        if self.of_times:
            return None if coding.gives_times else "the network has time steps, and no exact times"
        if coding.gives_times and (self.of_spikes or self.of_steps):
            return "the network has exact times, and no time steps"
        if self.of_spikes and (coding.analog_steps >= coding.steps or coding.sums):
            return f"the code {coding.name!r} has no spikes to corrupt"
        return None

    @property
    def target(self) -> str:
        """What it corrupts, such as `images`."""
        if self.of_times:
            return "exact times"
        if self.of_spikes:
            return "spikes"
        if self.of_steps:
            return "neurons of time steps"
        kinds = _plurals(PLURALS if self.takes is None else self.takes)
        return f"{kinds} of values" if self.of_values else kinds


def _plurals(kinds: Iterable[str]) -> str:
    return " or ".join(PLURALS[kind] for kind in sorted(kinds))


def fitting(model: SpikingNetwork) -> list[str]:
    """Return the names of the corruptions that apply to a network."""
    return [name for name in corruption_registry.names() if _fits(name, model)]


def _fits(name: str, model: SpikingNetwork) -> bool:
    try:
        return corruption_registry.get(name).fits(model)
    except ConfigError:  # a broken package must not hide the error that lists these names
        return False


def check_corruption(model: SpikingNetwork, name: str, severity: float) -> Corruption:
    """Return the corruption of that name, if it applies to the network with that severity.

    Raises:
        ConfigError: the name is unknown, the severity is out of range, or the corruption is for
            another kind of samples, or for spikes and the code of the network has none.
    """
    corruption: Corruption = corruption_registry.get(name)
    misfit = corruption.misfit(model)
    if misfit is not None:
        raise ConfigError(
            f"{name} corrupts {corruption.target}, {misfit}",
            why=f"choose from {', '.join(fitting(model))}",
        )
    in_range = corruption.least <= severity <= corruption.most
    if severity != 0 and not (in_range and (severity == int(severity) or not corruption.whole)):
        kind = "a whole number " if corruption.whole else ""
        raise ConfigError(
            f"the severity of {name} must be {kind}from {corruption.least:g} to "
            f"{corruption.most:g}, not {severity:g}",
            why=f"it is the {corruption.unit}; 0 is clean",
        )
    return corruption


def corrupt(model: SpikingNetwork, name: str, severity: float, seed: int = 0) -> SpikingNetwork:
    """Return the network with its input, code, weights or neurons corrupted.

    `evaluate` takes it like any other network. The argument is not changed; with severity 0 it is
    returned itself.

    Args:
        model: the network.
        name: of images `gaussian-noise`, `salt-and-pepper`, `blur`, `contrast`; of events
            `event-drop`, `event-noise`, `hot-pixels`, `event-jitter`, `event-shuffle`,
            `polarity-drop`; of series `series-noise`,
            `series-drop`, `series-shuffle`; of spikes `spike-drop`, `spike-jitter`; of exact times
            `time-drop`, `time-jitter`, `time-shuffle`; of every network `quantize`,
            `dead-neurons`; or one that an installed package adds.
        severity: in the unit of the corruption.
        seed: of the random numbers. The corruption of a sample depends on the seed and the sample,
            not on the batch; that of the network depends on the seed alone.

    Raises:
        ConfigError: see `check_corruption`.
    """
    corruption = check_corruption(model, name, severity)
    return corruption.apply(model, severity, seed) if severity else model


def robustness(
    model: SpikingNetwork,
    split: Split,
    severities: Mapping[str, Iterable[float]],
    *,
    seed: int = 0,
    clean: Evaluation | None = None,
    before_each: Callable[[str, float], None] = lambda name, severity: None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Return the primary metric, loss and spikes of a network on a split under corruptions.

    Args:
        model: the network.
        split: samples and labels.
        severities: of each corruption, by its name.
        seed: of the random numbers.
        clean: the evaluation of the clean network, if it is already known.
        before_each: called with name and severity before each evaluation of a corrupted network.
        options: of `evaluate`; the primary metric is that of its task, accuracy by default.

    Returns:
        Rows with `corruption`, `severity`, the primary metric by its name, `loss`, `spike_rate` and
        `spikes_per_sample`: for each corruption first the clean network (severity 0), then each
        severity in order.

    Raises:
        ConfigError: see `check_corruption`; raised before anything is evaluated.
    """
    requested = {name: list(dict.fromkeys([0, *levels])) for name, levels in severities.items()}
    for name, levels in requested.items():
        for severity in levels:
            check_corruption(model, name, severity)
    task = options.get("task")
    metric = ACCURACY if task is None else task.primary
    if clean is None:
        clean = evaluate(model, split, **options)
    rows = []
    for name, levels in requested.items():
        for severity in levels:
            found = clean
            if severity:
                before_each(name, severity)
                found = evaluate(corrupt(model, name, severity, seed), split, **options)
            rows.append(
                {
                    "corruption": name,
                    "severity": severity,
                    metric.name: found.values[metric.name],
                    "loss": found.loss,
                    "spike_rate": found.spike_rate,
                    "spikes_per_sample": found.spikes_per_sample,
                }
            )
    return rows
