"""Outputs that spike at random: which class fires first, and how likely that is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ...coding.draws import current_keys, uniforms


def first_spike_log_probability(o: Tensor) -> Tensor:
    """Return the logarithm of the probability that a class fires first, and alone, `[B, K]`.

    Class k fires at step t with the probability p_{t,k} = σ(o_{t,k}), independently, so

        P(k) = Σ_t p_{t,k} Π_{j≠k} (1 - p_{t,j}) Π_{t'<t} Π_j (1 - p_{t',j})

        log P(k) = logsumexp_t( o_{t,k} + Σ_{t'<=t} Σ_j log σ(-o_{t',j}) )

    since log p - log(1 - p) = o. The probabilities of the classes, of two that fire first together,
    and of silence at all steps add up to 1.

    Args:
        o: log-odds of a spike, `[T, B, K]`.

    Source: the likelihood of first-to-spike decoding, arXiv 1710.10704.
    """
    o = o if o.dtype == torch.float64 else o.float()
    silent = logsigmoid(-o).sum(-1, keepdim=True).cumsum(0)
    return (o + silent).logsumexp(0)


def drawn_spikes(o: Tensor, stream: int) -> Tensor:
    """Return which classes fire, true with the probability σ(o), `[T, B, K]`.

    Within `drawing`, what is drawn for a sample is a function of its key and of `stream`;
    otherwise torch's global generator draws.
    """
    keys = current_keys(o.shape[1])
    if keys is None:
        return torch.rand_like(o) < o.sigmoid()
    drawn = uniforms(keys, len(o), (o.shape[2],), device=o.device, stream=stream)
    return drawn < o.sigmoid()


def firing_first(outputs: Tensor, fires: Tensor) -> Tensor:
    """Return outputs `[T, B, K]` in which every class that fires is before those that do not.

    The order within both groups stays: of several that fire the greatest output wins. It is that
    of the outputs where none fires.
    """
    span = outputs.amax(-1, keepdim=True) - outputs.amin(-1, keepdim=True) + 1
    behind = ~fires & fires.any(-1, keepdim=True)
    return outputs - span * behind
