"""What a trained network does: accuracy by step, spikes, learned schedules."""

from .evaluation import Evaluation, evaluate
from .schedules import averaged, recalibrate, schedules
from .spikes import SpikeRates

__all__ = ["Evaluation", "SpikeRates", "averaged", "evaluate", "recalibrate", "schedules"]
