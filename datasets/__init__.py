"""Data sets by name, their splits, batches and augmentation."""

from .base import DataSet, Source, Split
from .batches import Batches
from .load import dataset_registry, load_dataset
from .transforms.augment import Augment
from .transforms.by_kind import make_augment
from .transforms.mixing import Targets

__all__ = [
    "Augment",
    "Batches",
    "DataSet",
    "Source",
    "Split",
    "Targets",
    "dataset_registry",
    "load_dataset",
    "make_augment",
]
