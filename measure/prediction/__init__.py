"""Answers of a network to files, arrays and folders of them, one by one."""

from .prediction import Prediction, Ranked
from .predictor import Predictor

__all__ = ["Prediction", "Predictor", "Ranked"]
