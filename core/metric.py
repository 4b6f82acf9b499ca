"""A metric: its name, which of two values is better, and how it is shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """A metric of a task.

    Attributes:
        name: the key in the files of a run.
        greater_is_better: whether the greater of two values is the better.
        percent: whether it is a share, shown in percent.
    """

    name: str
    greater_is_better: bool = True
    percent: bool = True

    def document(self) -> dict[str, Any]:
        """Return plain values, as in the files of a run."""
        return asdict(self)

    @staticmethod
    def from_document(document: Any) -> Metric:
        """Return the metric of plain values; accuracy if they describe none."""
        try:
            found = Metric(**document)
        except TypeError:
            return ACCURACY
        flags = (found.greater_is_better, found.percent)
        known = isinstance(found.name, str) and found.name.isidentifier()
        return found if known and all(isinstance(flag, bool) for flag in flags) else ACCURACY

    def rank(self, value: float) -> float:
        """Return a number that is greater for a better value."""
        return value if self.greater_is_better else -value

    @property
    def title(self) -> str:
        """The name for people."""
        return self.name.replace("_", " ")

    def text(self, value: float) -> str:
        """Return a value for people."""
        return f"{100 * value:.2f} %" if self.percent else f"{value:.4g}"


ACCURACY = Metric("accuracy")
