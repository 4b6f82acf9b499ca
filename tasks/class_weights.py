"""How much the loss of a sample counts, by its class."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.errors import ConfigError
from ..core.registry import unknown

BALANCED = "balanced"
SHOWN = 10  # names in a message

Weights = str | list[float] | dict[str, float]


def class_weights(given: Weights, classes: list[str], counts: Tensor) -> Tensor:
    """Return the factor of the loss for each class, `[K]`:

        w_k / w̄        w̄ = Σ_k n_k w_k / Σ_k n_k

    with n_k the number of training samples (or labelled steps) of class k, so that the mean factor
    of the training samples is 1 and the learning rate keeps its meaning. `balanced` is w_k = 1/n_k:
    each class has the same part in the loss. A class without samples then weighs 0.

    Args:
        given: `balanced`, a number for each class in their order, or numbers by the names of
            classes; classes that a table does not name have 1.
        classes: their names.
        counts: n_k, `[K]`.

    Raises:
        ConfigError: the numbers are not one a class, a class is unknown, or all samples weigh 0.

    Source: `balanced` is that of scikit-learn's `compute_class_weight`.
    """
    weights = _weights(given, classes, counts)
    total = (weights * counts).sum()
    if not total > 0:
        raise ConfigError(
            "train.class_weights leaves no training sample with a weight",
            why="the classes that it weighs above 0 have none",
            remedy="give a class of the training samples a weight above 0",
        )
    return (weights * counts.sum() / total).float()


def _weights(given: Weights, classes: list[str], counts: Tensor) -> Tensor:
    if given == BALANCED:
        return torch.where(counts > 0, 1 / counts.double().clamp(min=1), 0.0)
    if isinstance(given, dict):
        for name in given:
            if name not in classes:
                raise unknown("class in train.class_weights", name, classes)
        return torch.tensor([given.get(name, 1.0) for name in classes], dtype=torch.float64)
    if len(given) != len(classes):
        more = ", ..." if len(classes) > SHOWN else ""
        raise ConfigError(
            f"train.class_weights has {len(given)} numbers for {len(classes)} classes",
            why=f"the classes are {', '.join(classes[:SHOWN])}{more}",
            remedy="give one number a class, a table of class = number, or balanced",
        )
    return torch.tensor(given, dtype=torch.float64)
