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

    @property
    def scale(self) -> int:
        """The factor of a shown value: 100 of a share, else 1."""
        return 100 if self.percent else 1

    @property
    def axis(self) -> str:
        """The name with the unit, for a column or an axis."""
        return f"{self.title}, %" if self.percent else self.title

    @property
    def direction(self) -> str:
        """Which of two values is better, in words."""
        return f"{'higher' if self.greater_is_better else 'lower'} is better"

    @property
    def unit_of_change(self) -> str:
        """The unit of a difference of two values."""
        return "percentage points" if self.percent else f"units of {self.title}"

    def figure(self, value: float) -> str:
        """Return a value without its unit."""
        return f"{100 * value:,.2f}" if self.percent else f"{value:.4g}"

    def change(self, difference: float) -> str:
        """Return a difference of two values with its sign, of a share in percentage points."""
        return f"{100 * difference:+.2f}" if self.percent else f"{difference:+.4g}"

    def text(self, value: float) -> str:
        """Return a value for people."""
        return f"{100 * value:.2f} %" if self.percent else f"{value:.4g}"


ACCURACY = Metric("accuracy")
