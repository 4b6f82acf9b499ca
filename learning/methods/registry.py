"""Methods by name."""

from __future__ import annotations

from typing import Any

from ...core.registry import Registry, check_options
from .base import Method

method_registry = Registry(
    "methods",
    {
        "bptt": "learning.methods.bptt:Bptt",
        "distillation": "learning.methods.distillation:Distillation",
        "tandem": "learning.methods.tandem.method:Tandem",
        "vdib": "learning.methods.vdib:Vdib",
        "exact": "learning.methods.exact:Exact",
        "ltl": "learning.methods.ltl.method:LocalTandemLearning",
        "decolle": "learning.methods.online.decolle:Decolle",
        "glm": "learning.methods.online.glm:Glm",
    },
)


def create_method(name: str, **options: Any) -> Method:
    """Return the method called `name`.

    Args:
        name: one of `method_registry.names()`: built in, or added by an installed package.
        options: options of the method.

    Raises:
        ConfigError: an unknown name or an invalid option.
    """
    method = method_registry.get(name)
    check_options("method", name, method, options)
    return method(**options)
