"""Steps of neurons that are reset by the spike of the step before: LIF, ALIF, PLIF and XLIF.

A spike is s = H(v - θ), with the derivative 1 / (1 + 10 u²) of u = v - θ. The reset has no
gradient. All arguments broadcast against the input `[B, C, ...]`.

Source: arXiv 2106.01862, section 3.3, and its published code.
"""

from __future__ import annotations

from torch import Tensor

from ..surrogates import spike

SURROGATE = "lorentzian"


def lif_step(
    x: Tensor, v: Tensor, s: Tensor, *, leak: Tensor, threshold: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return spikes, membrane and spikes of a leaky neuron that is reset to 0.

        v_t = λ v_{t-1} (1 - s_{t-1}) + (1 - λ) x_t        s_t = H(v_t - θ)

    Args:
        x: input.
        v, s: membrane and spikes of the step before.
        leak: λ.
        threshold: θ.
    """
    v = leak * v * (1 - s.detach()) + (1 - leak) * x
    s = spike(v - threshold, SURROGATE)
    return s, v, s


def alif_step(
    x: Tensor,
    v: Tensor,
    s: Tensor,
    a: Tensor,
    *,
    leak: Tensor,
    adaptation: Tensor,
    base: Tensor,
    slope: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return spikes, membrane, spikes and trace of a neuron whose spikes raise its threshold.

        v_t = λ v_{t-1} + (1 - λ) x_t - s_{t-1} θ_{t-1}
        a_t = λ_a a_{t-1} + (1 - λ_a) s_{t-1}               θ_t = t_0 + t_1 a_t

    Args:
        x: input.
        v, s, a: membrane, spikes and their trace, of the step before.
        leak: λ.
        adaptation: λ_a.
        base, slope: t_0 and t_1.
    """
    after = adaptation * a + (1 - adaptation) * s.detach()
    return _raised_step(x, v, s, a, after, leak, base, slope)


def plif_step(
    x: Tensor,
    activity: Tensor,
    v: Tensor,
    s: Tensor,
    p: Tensor,
    *,
    leak: Tensor,
    adaptation: Tensor,
    weight: Tensor,
    threshold: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return spikes, membrane, spikes and trace of a neuron that its layer's input inhibits.

        p_t = λ_p p_{t-1} + (1 - λ_p) activity_t
        v_t = λ v_{t-1} (1 - s_{t-1}) + (1 - λ) (x_t - w p_t)

    Args:
        x: input.
        activity: of the layer's input around each pixel, `[B, 1, H, W]`.
        v, s, p: membrane, spikes and trace of the activity, of the step before.
        leak: λ.
        adaptation: λ_p.
        weight: w.
        threshold: θ.
    """
    p = adaptation * p + (1 - adaptation) * activity
    return (*lif_step(x - weight * p, v, s, leak=leak, threshold=threshold), p)


def xlif_step(
    x: Tensor,
    activity: Tensor,
    v: Tensor,
    s: Tensor,
    p: Tensor,
    *,
    leak: Tensor,
    adaptation: Tensor,
    base: Tensor,
    slope: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return spikes, membrane, spikes and trace of a neuron whose layer's input raises its
    threshold: the equations of `alif_step`, with the trace p of `plif_step` instead of a."""
    after = adaptation * p + (1 - adaptation) * activity
    return _raised_step(x, v, s, p, after, leak, base, slope)


def _raised_step(
    x: Tensor,
    v: Tensor,
    s: Tensor,
    before: Tensor,
    after: Tensor,
    leak: Tensor,
    base: Tensor,
    slope: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the step of a neuron whose threshold a trace raises, given before and after it."""
    v = leak * v + (1 - leak) * x - s.detach() * (base + slope * before)
    s = spike(v - (base + slope * after), SURROGATE)
    return s, v, s, after
