"""Networks whose neurons or readout draw random numbers, without the noise."""

from __future__ import annotations

import copy

from ..core.errors import ConfigError
from .network import SpikingNetwork


def has_noise(model: SpikingNetwork) -> bool:
    """Return whether a neuron or the readout draws random numbers; a code may draw beside them."""
    return any(getattr(part, "draws", False) for part in model.body.modules())


def without_noise(model: SpikingNetwork) -> SpikingNetwork:
    """Return a copy in which neurons fire where the membrane is above the threshold, and the
    readout answers where a potential is above the level: the limit of little noise.

    Parts that draw say so by `draws`, and stop by `stop_drawing()`. A code that draws still does.

    Raises:
        ConfigError: nothing draws, or a part cannot stop.
    """
    quiet = copy.deepcopy(model)
    drawing = [
        (name, part) for name, part in quiet.named_modules() if getattr(part, "draws", False)
    ]
    if not drawing:
        raise ConfigError(
            "no neuron and no readout of this network draws random numbers",
            why="there is no noise to turn off",
            remedy="leave --noise out",
        )
    for name, part in drawing:
        if not callable(getattr(part, "stop_drawing", None)):
            raise ConfigError(
                f"{name} cannot stop drawing",
                why=f"{type(part).__name__} has no method `stop_drawing`",
                remedy="leave --noise out",
            )
        part.stop_drawing()  # type: ignore[operator]
    quiet.refresh()
    return quiet
