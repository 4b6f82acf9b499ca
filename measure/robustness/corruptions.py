"""Corruptions by name, and the accuracy of a network against their severity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import ConfigError
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
        "spike-drop": "measure.robustness.inputs:SPIKE_DROP",
        "spike-jitter": "measure.robustness.inputs:SPIKE_JITTER",
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
    """

    apply: Callable[[SpikingNetwork, float, int], SpikingNetwork]
    unit: str
    severities: tuple[float, ...]
    least: float = 0.0
    most: float = 1.0
    whole: bool = False
    of_spikes: bool = False

    def fits(self, model: SpikingNetwork) -> bool:
        """Return whether it applies to a network."""
        return not self.of_spikes or model.coding.analog_steps < model.coding.steps


def check_corruption(model: SpikingNetwork, name: str, severity: float) -> Corruption:
    """Return the corruption of that name, if it applies to the network with that severity.

    Raises:
        ConfigError: the name is unknown, the severity is out of range, or the corruption needs
            spikes and the code of the network has none.
    """
    corruption = corruption_registry.get(name)
    if not corruption.fits(model):
        raise ConfigError(
            f"{name} cannot corrupt the code {model.coding.name!r}",
            why="all of its steps are analog, it has no spikes",
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
        name: `gaussian-noise`, `salt-and-pepper`, `blur`, `contrast`, `spike-drop`,
            `spike-jitter`, `quantize`, `dead-neurons`, or one that an installed package adds.
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
    **options: Any,
) -> list[dict[str, Any]]:
    """Return the accuracy, loss and spikes of a network on a split under corruptions.

    Args:
        model: the network.
        split: samples and labels.
        severities: of each corruption, by its name.
        seed: of the random numbers.
        clean: the evaluation of the clean network, if it is already known.
        options: of `evaluate`.

    Returns:
        Rows with `corruption`, `severity`, `accuracy`, `loss`, `spike_rate` and
        `spikes_per_sample`: for each corruption first the clean network (severity 0), then each
        severity in order.

    Raises:
        ConfigError: see `check_corruption`; raised before anything is evaluated.
    """
    requested = {name: list(dict.fromkeys([0, *levels])) for name, levels in severities.items()}
    for name, levels in requested.items():
        for severity in levels:
            check_corruption(model, name, severity)
    if clean is None:
        clean = evaluate(model, split, **options)
    rows = []
    for name, levels in requested.items():
        for severity in levels:
            found = clean
            if severity:
                found = evaluate(corrupt(model, name, severity, seed), split, **options)
            rows.append(
                {
                    "corruption": name,
                    "severity": severity,
                    "accuracy": found.accuracy,
                    "loss": found.loss,
                    "spike_rate": found.spike_rate,
                    "spikes_per_sample": found.spikes_per_sample,
                }
            )
    return rows
