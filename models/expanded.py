"""Networks in the form that files, kernels and counts of operations know: of plain layers.

A layer whose weights follow from fewer has a method `expanded`, which returns the plain layer that
computes the same.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn


def expanded(body: nn.Module) -> nn.Module:
    """Return a copy with plain layers only; the body itself if it has no others."""
    if not any(callable(getattr(part, "expanded", None)) for part in body.modules()):
        return body
    body = copy.deepcopy(body)
    expand(body)
    return body


def expand(body: nn.Module) -> None:
    """Replace the layers within a body by plain layers."""
    replaced: dict[int, nn.Module] = {}  # a layer may be in it more than once
    for parent in list(body.modules()):
        for name, child in list(parent._modules.items()):
            own: Any = getattr(child, "expanded", None)
            if child is not None and callable(own):
                if id(child) not in replaced:
                    plain: Any = own()
                    replaced[id(child)] = plain
                parent._modules[name] = replaced[id(child)]
