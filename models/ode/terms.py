"""Products of features: what the right-hand side of an equation may be made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..layer import VALUES, Layer, Lowering, OperationCounter, OperationList, Signal

MAX_FACTORS = 4


def parse_terms(terms: Sequence[str], features: int) -> list[list[int]]:
    """Return the features whose product each term is; none of the constant 1.

    Args:
        terms: such as `1`, `x0` and `x0*x1`.
        features: F.

    Raises:
        ConfigError: a term that is not a product of features, or is there twice.

    >>> parse_terms(["1", "x2", "x0*x1"], 3)
    [[], [2], [0, 1]]
    """
    names = {f"x{i}": i for i in range(features)}
    found: list[list[int]] = []
    for term in terms:
        factors = [] if term.strip() == "1" else [each.strip() for each in term.split("*")]
        wrong = next((each for each in factors if each not in names), None)
        if wrong is not None or len(factors) > MAX_FACTORS:
            known = f"x0 to x{features - 1}" if features > 1 else "x0"
            raise ConfigError(
                f"term {term!r} is not a product of features",
                why=f"a term is 1, or up to {MAX_FACTORS} of {known} joined by *",
                remedy='write for example model.terms=["1","x0","x0*x1"]',
            )
        found.append(sorted(names[each] for each in factors))
    if not found or len({tuple(each) for each in found}) < len(found):
        raise ConfigError(f"terms are {list(terms)}", why="each term is given once, at least one")
    return found


class Terms(Layer):
    """K products of features, each divided by its size: `[T, B, F]` to `[T, B, K]`.

        θ_k = Π_{f in term k} x_f / size_f

    Sizes near the root mean squares of the features make the products comparable, so that a
    gradient step moves all their coefficients alike.

    Args:
        terms: as `parse_terms` reads them.
        sizes: of the features, above 0.

    Attributes:
        scale: Π size_f of each term, `[K]`.
    """

    factors: Tensor
    scale: Tensor

    def __init__(self, terms: Sequence[str], sizes: Sequence[float]) -> None:
        super().__init__()
        self.terms = list(terms)
        parsed = parse_terms(terms, len(sizes))
        depth = max(1, *(len(each) for each in parsed))
        # Factor p of term k is factors[p, k] · (x, 1).
        factors = torch.zeros(depth, len(parsed), len(sizes) + 1)
        for k, features in enumerate(parsed):
            for p in range(depth):
                if p < len(features):
                    factors[p, k, features[p]] = 1 / sizes[features[p]]
                else:
                    factors[p, k, -1] = 1
        scale = torch.tensor([float(np.prod([sizes[f] for f in each])) for each in parsed])
        self.register_buffer("factors", factors, persistent=False)
        self.register_buffer("scale", scale)  # in files, beside the coefficients that it divides

    def forward(self, x: Tensor) -> Tensor:
        factors = self.factors.to(x.dtype)
        y = x @ factors[0, :, :-1].T + factors[0, :, -1]
        for factor in factors[1:]:
            y = y * (x @ factor[:, :-1].T + factor[:, -1])
        return y

    def lower(self, graph: Lowering, name: str) -> None:
        source = graph.at
        parts = []
        for p, factor in enumerate(self.factors.cpu().numpy()):
            at = f"{name}_factor{p + 1}" if len(self.factors) > 1 else name
            weight, bias = np.array(factor[:, :-1]), np.array(factor[:, -1])
            steps = (0,) * graph.steps
            graph.add("Linear", at, (source,), weights=(weight,), biases=(bias,), of_step=steps)
            parts.append(at)
        product = parts[0]
        for p, part in enumerate(parts[1:], start=2):
            at = name if p == len(parts) else f"{name}_product{p}"
            graph.add("Product", at, (product, part))
            product = at

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(name, "terms", self, VALUES)
        return VALUES

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        """Count one multiplication for each factor of a term."""
        products = float((self.factors[:, :, :-1] != 0).sum())
        each = torch.full(x.shape[:2], products, dtype=torch.float64)
        events = x.ne(0).flatten(2).sum(2).double()
        counter.add(each, events, dense=float(each.sum()), inputs=x.numel())

    def extra_repr(self) -> str:
        return ", ".join(self.terms)
