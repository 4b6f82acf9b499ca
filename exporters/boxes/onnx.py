"""Boxes in ONNX: decoded from the answer, and after its NonMaxSuppression."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from ...tasks.detection.cells import MAX_LOG_SIDE
from ..onnx.builder import Builder, value
from .rule import BoxRule


def add_boxes(b: Builder, rule: BoxRule, answer: str, batch: str) -> onnx.ValueInfoProto:
    """Add the output `detections` `[N, rows, 6]` of an answer `[N, K + 5, A]`.

    Rows are (x1, y1, x2, y2, class, score) in pixels, the best first; those behind are 0.
    """
    classes, cells = len(rule.task.classes), len(rule.task.cells)
    scores = b.op("Softmax", [_rows(b, answer, 0, classes + 1)], "boxes/probabilities", axis=1)
    scores = _rows(b, scores, 0, classes, "boxes/scores")
    corners = _corners(b, rule, answer, classes + 1)
    candidates = _candidates(b, rule, scores, corners)
    boxes = b.op("Transpose", [b.op("Concat", corners, "boxes/by_value", axis=1)], "boxes/corners",
                 perm=[0, 2, 1])  # fmt: skip
    options = [
        b.constant("boxes/most", [cells], np.int64),
        b.constant("boxes/overlap", [rule.task.overlap]),
        b.constant("boxes/score", [rule.task.least_score]),
    ]
    kept = b.op("NonMaxSuppression", [boxes, candidates, *options], "boxes/kept")
    kept_scores = b.op("GatherND", [candidates, kept], "boxes/kept_scores")
    nothing = b.op("Sub", [candidates, candidates], "boxes/nothing")
    best = b.op("ScatterND", [nothing, kept, kept_scores], "boxes/scores_of_kept")
    best = b.reshape(best, (-1, classes * cells), "boxes/pairs")
    rows = b.integers(rule.rows)
    score, pair = b.ops("TopK", [best, rows], ["boxes/best", "boxes/best_pairs"], axis=1)
    number = b.constant("boxes/cells", cells, np.int64)
    label = b.op("Cast", [b.op("Div", [pair, number], "boxes/labels")], "boxes/label",
                 to=TensorProto.FLOAT)  # fmt: skip
    last = b.integers(-1)
    cell = b.op("Unsqueeze", [b.op("Mod", [pair, number], "boxes/cell"), last], "boxes/cell_of_row")
    cell = b.op("Tile", [cell, b.integers(1, 1, 4)], "boxes/cell_of_corners")
    chosen = b.op("GatherElements", [boxes, cell], "boxes/chosen", axis=1)
    label, score = (b.op("Unsqueeze", [x, last], f"{x}_column") for x in (label, score))
    table = b.op("Concat", [chosen, label, score], "boxes/table", axis=-1)
    found = b.op("Greater", [score, b.constant("boxes/zero", np.float32(0))], "boxes/found")
    b.op("Where", [found, table, b.constant("boxes/zero", np.float32(0))], "detections")
    return value("detections", [batch, rule.rows, 6])


def _rows(b: Builder, x: str, begin: int, end: int, name: str = "") -> str:
    """Return the outputs `begin` to `end` of each cell."""
    ends = b.integers(begin), b.integers(end), b.integers(1)
    return b.op("Slice", [x, *ends], name or f"boxes/outputs_{begin}_{end}")


def _corners(b: Builder, rule: BoxRule, answer: str, first: int) -> list[str]:
    """Return x1, y1, x2, y2 in pixels, within the sample, each `[N, 1, A]`."""
    cells = rule.task.cells
    stride = b.constant("boxes/stride", cells.stride.numpy())
    half = b.constant("boxes/half_stride", (cells.stride / 2).numpy())
    limit = b.constant("boxes/largest", np.float32(MAX_LOG_SIDE))
    zero = b.constant("boxes/zero", np.float32(0))
    low, high = [], []
    for axis, (name, side) in enumerate(zip("xy", reversed(rule.task.size), strict=True)):
        moved = _rows(b, answer, first + axis, first + axis + 1)
        centre = b.constant(f"boxes/{name}_of_cells", getattr(cells, name).numpy())
        moved = b.op("Mul", [moved, stride], f"boxes/{name}_moved")
        middle = b.op("Add", [centre, moved], f"boxes/{name}_middle")
        size = _rows(b, answer, first + 2 + axis, first + 3 + axis)
        size = b.op("Exp", [b.op("Min", [size, limit], f"boxes/{name}_log")], f"boxes/{name}_exp")
        size = b.op("Mul", [size, half], f"boxes/{name}_half")
        edge = b.constant(f"boxes/{name}_edge", np.float32(side))
        for ends, kind in ((low, "Sub"), (high, "Add")):
            end = b.op(kind, [middle, size], f"boxes/{name}_{kind}")
            end = b.op("Max", [end, zero], f"boxes/{name}_{kind}_inside")
            ends.append(b.op("Min", [end, edge], f"boxes/{name}_{kind}_end"))
    return [*low, *high]


def _candidates(b: Builder, rule: BoxRule, scores: str, corners: list[str]) -> str:
    """Return the scores of the best pairs of a cell and a class whose box has an area, else 0."""
    pairs = len(rule.task.classes) * len(rule.task.cells)
    zero = b.constant("boxes/zero", np.float32(0))
    flat = b.reshape(scores, (-1, pairs), "boxes/all_pairs")
    number = min(rule.candidates, pairs)
    best, _ = b.ops(
        "TopK", [flat, b.integers(number)], ["boxes/candidates", "boxes/candidate_pairs"], axis=1
    )
    ends = b.integers(number - 1), b.integers(number), b.integers(1)
    least = b.op("Slice", [best, *ends], "boxes/least_candidate")
    least = b.op("Unsqueeze", [least, b.integers(-1)], "boxes/least_score")
    enters = b.op("GreaterOrEqual", [scores, least], "boxes/enters")
    x1, y1, x2, y2 = corners
    sides = [b.op("Sub", pair, f"boxes/side_{i}") for i, pair in enumerate(((x2, x1), (y2, y1)))]
    area = b.op("Mul", sides, "boxes/area")
    enters = b.op("And", [enters, b.op("Greater", [area, zero], "boxes/has_area")], "boxes/enter")
    return b.op("Where", [enters, scores, zero], "boxes/candidate_scores")
