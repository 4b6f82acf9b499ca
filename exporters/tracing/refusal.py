"""The error for a layer that the snnTorch importer does not support."""

from __future__ import annotations

from ...core.errors import ConfigError


def refusal(where: str, layer: object | str, why: str, remedy: str = "") -> ConfigError:
    """Return the error for a layer.

    Args:
        where: its path in the network.
        layer: the layer, or the name of its class.
        why: the reason.
        remedy: what to do instead.
    """
    kind = layer if isinstance(layer, str) else type(layer).__name__
    return ConfigError(f"layer {where!r} ({kind}) cannot be exported", why=why, remedy=remedy)
