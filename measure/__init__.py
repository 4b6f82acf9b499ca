"""What a trained network does: accuracy by step, spikes, learned schedules, what it costs."""

from .cost.operations import Operations
from .evaluation import Evaluation, evaluate
from .schedules import averaged, recalibrate, schedules
from .spikes import SpikeRates

__all__ = [
    "Evaluation",
    "Operations",
    "SpikeRates",
    "averaged",
    "evaluate",
    "recalibrate",
    "schedules",
]
