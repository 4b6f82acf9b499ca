"""How a network stands what goes wrong: corruptions by name, and accuracy against severity."""

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
    """One thing that can go wrong, by degrees.

    Attributes:
        apply: `(network, severity, seed) -> network` of the same interface; it leaves the network
            that it is given as it was.
        unit: what a severity counts; 0 is always the clean network.
        severities: those that are tried by default, from mild to hard.
        least, most: the range of severities beside 0; by default a share.
        whole: whether a severity is a whole number.
        of_spikes: whether it is done to the spikes of a code, so that the code must have some.
    """

    apply: Callable[[SpikingNetwork, float, int], SpikingNetwork]
    unit: str
    severities: tuple[float, ...]
    least: float = 0.0
    most: float = 1.0
    whole: bool = False
    of_spikes: bool = False

    def fits(self, model: SpikingNetwork) -> bool:
        """Return whether a network has what is to be corrupted."""
        return not self.of_spikes or model.coding.analog_steps < model.coding.steps


def check_corruption(model: SpikingNetwork, name: str, severity: float) -> Corruption:
    """Return the corruption of that name, if a network can suffer it to that severity.

    Raises:
        ConfigError: there is none of that name, the severity is out of its range, or the code of
            the network has no spikes to corrupt.
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

    It answers like any other: `evaluate` measures it unchanged. The network itself stays as it was,
    and is returned where the severity is 0.

    Args:
        model: the network.
        name: `gaussian-noise`, `salt-and-pepper`, `blur`, `contrast`, `spike-drop`,
            `spike-jitter`, `quantize`, `dead-neurons`, or one that an installed package adds.
        severity: in the unit of the corruption.
        seed: of what is drawn. What befalls a sample is a function of the seed and the sample,
            whatever the batch; what befalls a network is a function of the seed alone.

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
    """Return what a network does on a split under corruptions.

    Args:
        model: the network.
        split: samples and labels.
        severities: of each corruption, by its name.
        seed: of what is drawn.
        clean: the evaluation of the network itself, if it is at hand.
        options: of `evaluate`.

    Returns:
        For each corruption the clean network (severity 0), then each severity, in order:
        `corruption`, `severity`, `accuracy`, `loss`, `spike_rate`, `spikes_per_sample`.

    Raises:
        ConfigError: see `check_corruption`; before anything is evaluated.
    """
    wanted = {name: list(dict.fromkeys([0, *given])) for name, given in severities.items()}
    for name, given in wanted.items():
        for severity in given:
            check_corruption(model, name, severity)
    if clean is None:
        clean = evaluate(model, split, **options)
    rows = []
    for name, given in wanted.items():
        for severity in given:
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
