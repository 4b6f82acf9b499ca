"""Which files are the samples of which part and class."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .store import Store


@dataclass(frozen=True)
class Part:
    """The files of a part, in the order of their classes.

    Attributes:
        store: where they are.
        names: of the files in the store.
        targets: the number of the class of each, int64 `[N]`.
    """

    store: Store
    names: list[str]
    targets: Tensor


@dataclass(frozen=True)
class Layout:
    """The parts of a data set, `train` and perhaps `test` and `validation`, and its classes."""

    parts: dict[str, Part]
    classes: list[str]

    @property
    def train(self) -> Part:
        """The training part."""
        return self.parts["train"]
