"""What a backend computes: functions over time-major rows of channels.

A layer is seen as rows of channels, `[T, R, C]` with the channels last and R = B·H·W (R = B
without space), contiguous; a static input is `[1, R, C]`, the same at every step. A backend is a
module with these functions (`cpu.backend`, `cuda.backend`):

    moments(x) -> [2, Tx, C]
        mean and biased variance of each step over its rows, float64.
    forward(x, table, threshold, shape, rule, count) -> out, counts
        runs every neuron over all steps, and pools. `counts` `[T]`, float64, is the number of
        spikes before the pool, or None where `count` is false.
    backward(grad, x, table, threshold, shape, rule) -> q, sums
        runs the neurons again and differentiates: see below.
    finish(q, x, mean, offset, slope) -> None
        q ← q + offset + (x - mean) slope, in place; mean, offset, slope are `[Tx, C]` float32.

A CPU has those of single steps as well, see `step`. Two more are of filters over time, see
`filters`, with float32 poles `[P, C]` and gain `[C]`:

    filter_forward(x, poles, gain) -> y
    filter_backward(grad, x, poles, gain, learns) -> q, sums
        q is ∂L/∂x; with `learns` sums are those of poles and gain, `[P + 1, C]`, float64.

`table` `[6, T, C]`, float32, holds the parameters of each step and channel: `MEAN`, `SCALE`,
`BIAS`, `LEAK`, `GAIN`, `SIZE`; `threshold` is float32 with one value, or `[C]`. For every row and
channel, from v = 0:

    y_t = (x_t - MEAN_t) SCALE_t + BIAS_t
    v_t = LEAK_t v_{t-1} + GAIN_t y_t                  rounded as written, never contracted
    u_t = v_t - θ            with a reset size: v_t / SIZE_t - θ
    s_t = H(u_t)
    v_t ← v_t - θ s_t        `subtract`; with a reset size: v_t - SIZE_t s_t
    v_t ← v_t (1 - s_t)      `zero`
    v_t ← v_t                `none`

With a rule that is `detached`, s_t in the reset is a constant: no gradient flows through it.
The output is s_t; of a rule with `once` s_t (1 - f_{t-1}), where f_t is 1 once there was a spike,
and has no gradient. A rule with `most` = m > 0 is that of integrating neurons, of the amplitude
V_t = SIZE_t and the fraction α = θ:

    k_t = clip(⌈(v_t - α V_t) / V_t⌉, 0, m)         rounded as written
    v_t ← v_t - V_t k_t
    output V_t k_t

k is differentiated as the sum over j < m of the surrogate at v - (α + j) V, or by its level
u = v / V - α (`rules.LEVEL_GRADIENTS`): as the sum of the triangles max(0, 1 - |u - j|), or,
straight through, with the derivative 1 where -1 < u <= m.

The pool takes the maximum over its window; rows that do not fill a window have no output. Its
gradient goes to the first maximum of the window, or to its first pixel where none spiked, as in
`torch.max_pool2d`.

`backward` returns, with g_t = ∂L/∂v_t before the reset:

    q    like x: SCALE_t GAIN_t g_t; summed over t where x is static
    sums [5, T, C], float64, over rows: g_t, g_t (x_t - MEAN_t), g_t v_{t-1} (after its reset),
         ∂L/∂θ, ∂L/∂SIZE_t; the last two are 0 where the rule has no such gradient
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

MEAN, SCALE, BIAS, LEAK, GAIN, SIZE = range(6)
TABLE = 6
SUM_G, SUM_GX, SUM_GV, SUM_THRESHOLD, SUM_SIZE = range(5)
SUMS = 5


class Rule(NamedTuple):
    """How a neuron resets, and the derivative of its spikes.

    Attributes:
        reset: code of a rule in `rules.RESETS`.
        sized: whether the table holds a reset size.
        surrogate: code of a surrogate in `rules.SURROGATES`, or of `rules.LEVEL_GRADIENTS`.
        alpha: steepness of the surrogate.
        learns_threshold: whether to compute ∂L/∂θ.
        once: whether only the first spike is sent.
        most: the greatest number of spikes in a step of integrating neurons, which subtract, whose
            size is in the table, and whose θ has no gradient; 0 for leaky neurons.
        detached: whether the spikes of a reset have no gradient; of leaky neurons only.
    """

    reset: int
    sized: bool
    surrogate: int
    alpha: float
    learns_threshold: bool
    once: bool = False
    most: int = 0
    detached: bool = False


@dataclass(frozen=True)
class Shape:
    """Sizes of the rows `[T, R, C]`.

    Attributes:
        steps: T.
        batch, height, width: R = batch · height · width; the width varies fastest.
        channels: C.
        static: x is `[1, R, C]` and the same at every step.
        window: (height, width) of the pool, each 1 or 2; (1, 1) is no pool.
    """

    steps: int
    batch: int
    height: int
    width: int
    channels: int
    static: bool
    window: tuple[int, int]

    @property
    def rows(self) -> int:
        """R."""
        return self.batch * self.height * self.width

    @property
    def pooled(self) -> tuple[int, int]:
        """Height and width of the output."""
        return self.height // self.window[0], self.width // self.window[1]

    @property
    def out_rows(self) -> int:
        """Rows of the output."""
        return self.batch * self.pooled[0] * self.pooled[1]


@dataclass(frozen=True)
class Convolution:
    """Sizes of a convolution of images `[N, H, W, in]` without groups or dilation.

    Attributes:
        images: N.
        size: (H, W).
        channels: (in, out).
        kernel, stride, padding: (vertical, horizontal).
    """

    images: int
    size: tuple[int, int]
    channels: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    @property
    def out(self) -> tuple[int, int]:
        """Height and width of the output."""
        height, width = (
            (size + 2 * padding - kernel) // stride + 1
            for size, padding, kernel, stride in zip(
                self.size, self.padding, self.kernel, self.stride, strict=True
            )
        )
        return height, width
