"""Measurements of a trained network: accuracy by step, spikes, learned schedules, cost."""

from .cost.operations import Operations
from .evaluation import Evaluation, evaluate
from .schedules import frozen_schedules, recalibrate, schedules
from .spikes import SpikeRates

__all__ = [
    "Evaluation",
    "Operations",
    "SpikeRates",
    "evaluate",
    "frozen_schedules",
    "recalibrate",
    "schedules",
]
