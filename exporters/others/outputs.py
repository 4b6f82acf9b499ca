"""Files compared by their outputs alone, where the reference has no export graph."""

from __future__ import annotations

from collections.abc import Callable

from ..graph.answer import Answer
from ..graph.interpreter import Trace
from ..graph.ir import INPUT, Array, Flatten, Graph
from ..source import Samples
from ..verification.compare import Report
from ..verification.runtimes import Check


def outputs_graph(classes: int, steps: int, answer: Answer | None = None) -> Graph:
    """Return a graph that only says what the outputs of a network are.

    Args:
        classes: K, the number of values of each step.
        steps: T.
        answer: how it follows from them; their mean by default.
    """
    node = Flatten(name="outputs", inputs=(INPUT,))
    return Graph((node,), in_shape=(classes,), steps=steps, answer=answer or Answer())


def compare_outputs(
    check: Check,
    outputs: Callable[[Array], Array],
    encode: Callable[[Array, int], Array],
    samples: Samples,
) -> Report:
    """Compare the outputs of a runtime with those of a reference.

    Args:
        check: the runtime, with an `outputs_graph`.
        outputs: of the reference for a code, `[T, B, ...] -> [T, B, K]`.
        encode: from samples and the index of the first to their code.
        samples: to compare on.
    """
    for images, part in samples.batches():
        code = encode(images, part.start)
        check.add(images, code, Trace({}, {}, outputs(code)))
    return Report([check.parity], samples, {}, {}, {}, [])
