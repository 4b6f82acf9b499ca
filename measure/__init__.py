"""What a trained network does: accuracy by step, spikes, learned schedules."""

from .evaluation import Evaluation, evaluate
from .schedules import schedules
from .spikes import SpikeRates

__all__ = ["Evaluation", "SpikeRates", "evaluate", "schedules"]
