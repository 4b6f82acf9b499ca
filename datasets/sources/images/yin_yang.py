"""The Yin-Yang data set: points of a plane, without network and files."""

from __future__ import annotations

import numpy as np
import torch

from ....core.errors import ConfigError
from ...base import Source, Split

RADIUS, DOT = 0.5, 0.1
"""Of the large circle around (0.5, 0.5), and of the two dots."""
CLASSES = ["yin", "yang", "dot"]


def load_yin_yang(
    *,
    samples: int = 5_000,
    validation_samples: int = 1_000,
    test_samples: int = 1_000,
    seed: int = 42,
) -> Source:
    """Return points as images of one row, `[N, 1, 1, 5]`: x, y, 1 - x, 1 - y and 1.

    The points lie in the circle of radius 0.5 around (0.5, 0.5), as many in each class: the two
    halves of the sign, and its dots. The last value is a bias: with the code `times` it fires at 0.

    Args:
        samples: points for training.
        validation_samples, test_samples: of the other parts.
        seed: of all of them; it is not the seed of a training.

    Raises:
        ConfigError: an option out of range.

    Source: Kriener, Göltz and Petrovici, arXiv 2102.08211; the geometry, not the same points.
    """
    sizes = {
        "samples": samples,
        "validation_samples": validation_samples,
        "test_samples": test_samples,
    }
    for key, value in sizes.items():
        if value < len(CLASSES):
            raise ConfigError(f"data.{key} must be {len(CLASSES)} or more, not {value}")
    if not 0 <= seed < 2**32:
        raise ConfigError(f"data.seed must be 0 or more and below 2³², not {seed}")
    # Its stream is frozen for all versions of NumPy.
    random = np.random.RandomState(seed)
    train, validation, test = (_draw(random, count) for count in sizes.values())
    return Source(train, test, list(CLASSES), validation=validation)


def class_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the class of points: 0 yin, 1 yang, 2 dot; -1 outside of the large circle.

    Yin is the lower half plane y < 0.5, with the half circle of radius 0.25 around (0.75, 0.5) and
    without that around (0.25, 0.5).

    >>> class_of(np.array([0.5, 0.5, 0.25, 0.0]), np.array([0.1, 0.9, 0.5, 0.0])).tolist()
    [0, 1, 2, -1]
    """
    left, right = (np.hypot(x - at, y - RADIUS) for at in (RADIUS / 2, 3 * RADIUS / 2))
    found = (y >= RADIUS).astype(np.int64)
    found[right < RADIUS / 2] = 0
    found[left < RADIUS / 2] = 1
    found[np.minimum(left, right) < DOT] = 2
    found[np.hypot(x - RADIUS, y - RADIUS) > RADIUS] = -1
    return found


def _draw(random: np.random.RandomState, count: int) -> Split:
    """Return points of classes that are drawn in turn."""
    points = np.empty((count, 2))
    labels = random.permutation(np.arange(count) % len(CLASSES))
    for label in range(len(CLASSES)):
        wanted, found = int((labels == label).sum()), np.empty((0, 2))
        while len(found) < wanted:
            drawn = random.uniform(size=(4 * wanted, 2))
            found = np.concatenate([found, drawn[class_of(*drawn.T) == label]])
        points[labels == label] = found[:wanted]
    values = np.concatenate([points, 1 - points, np.ones((count, 1))], 1)
    inputs = torch.from_numpy(values.astype(np.float32)).view(count, 1, 1, -1)
    return Split(inputs, torch.from_numpy(labels.astype(np.int64)))
