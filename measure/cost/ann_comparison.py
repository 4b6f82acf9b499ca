"""The energy report of a network together with that of its ANN counterpart."""

from __future__ import annotations

from typing import Any

from ...models.network import SpikingNetwork
from ..evaluation import Evaluation
from .ann import dense_ann_counts, why_no_ann
from .energy import energy_report, layer_cost, total_cost, why_unknown
from .tables import CostTable


def energy_beside_ann(
    model: SpikingNetwork, result: Evaluation, table: CostTable, ann: Evaluation | None = None
) -> dict[str, Any]:
    """Return the energy report of a network, with that of its ANN counterpart as `ann_twin`.

    Args:
        model: the network.
        result: its evaluation, with counted operations.
        table: energy of each operation.
        ann: the evaluation of the trained counterpart on the same images, with counted operations.

    Returns:
        `energy_report` and `ann_twin`: `dense` are all operations of the counterpart, which follow
        from the architecture; `trained` is the report of `ann`, which skips inputs that are 0, or
        None. Totals are None, with the `reason`, if the network has no counterpart or the
        operations of a layer are not known.
    """
    assert result.counts is not None
    trained = None
    if ann is not None and why_no_ann(model) is None:
        assert ann.counts is not None
        trained = {"accuracy": ann.accuracy, **energy_report(ann.counts, table)}
    return {
        **energy_report(result.counts, table),
        "ann_twin": {"dense": dense_ann_report(model, table), "trained": trained},
    }


def dense_ann_report(model: SpikingNetwork, table: CostTable) -> dict[str, Any]:
    """Return all operations of the ANN counterpart for one sample, and their energy.

    Args:
        model: the network.
        table: energy of each operation.

    Returns:
        `accumulates`, `multiply_accumulates` and `picojoules_per_sample`, None with the `reason` if
        they are not known, and `layers`.
    """
    totals = ("accumulates", "multiply_accumulates", "picojoules_per_sample")
    reason = why_no_ann(model)
    if reason is not None:
        return {**dict.fromkeys(totals), "layers": [], "reason": reason}
    counts = dense_ann_counts(model)
    total = total_cost(counts, table, dense=True)
    values = (float(total.ac.sum()), float(total.mac.sum()), total.total(table))
    reason = why_unknown(counts)
    return {
        **(dict(zip(totals, values, strict=True)) if reason is None else dict.fromkeys(totals)),
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "operation": layer.operation,
                "weights": layer.weights,
                "dense": float(layer.dense.sum()),
                "picojoules": layer_cost(layer, table, dense=True).total(table),
            }
            for layer in counts.layers
        ],
        "reason": reason,
    }
