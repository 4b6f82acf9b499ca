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
        "ltl": "learning.methods.ltl:LocalTandemLearning",
    },
)


def create_method(name: str, **options: Any) -> Method:
    """Return the method called `name`.

    Args:
        name: `bptt`, `distillation`, or a method that an installed package adds.
        options: options of the method.

    Raises:
        ConfigError: an unknown name or an invalid option.
    """
    method = method_registry.get(name)
    check_options("method", name, method, options)
    return method(**options)
