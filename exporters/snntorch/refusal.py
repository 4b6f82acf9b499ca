"""How the import of a foreign network says that it cannot take a layer."""

from __future__ import annotations

from ...core.errors import ConfigError


def refusal(where: str, layer: object, why: str, remedy: str = "") -> ConfigError:
    """Return the refusal of a layer.

    Args:
        where: its path in the network.
        layer: the layer.
        why: what stands against it.
        remedy: what to do instead.
    """
    kind = type(layer).__name__
    return ConfigError(f"layer {where!r} ({kind}) cannot be exported", why=why, remedy=remedy)
