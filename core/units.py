"""Numbers with SI prefixes."""

from __future__ import annotations

import math

UNKNOWN = "–"  # shown for a missing number
PREFIXES = {-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def si(value: float, unit: str = "") -> str:
    """Return three digits with an SI prefix; numbers without a unit get none below 1.

    >>> si(1_234_567), si(0), si(0.25), si(999.9), si(4.6e-12, "J"), si(12, "J")
    ('1.23 M', '0', '0.25', '1.00 k', '4.60 pJ', '12.0 J')
    """
    if value == 0 or (unit and not 1e-13 < abs(value) < 1e15):
        return f"{value:.3g} {unit}".rstrip()
    exponent = math.floor(math.log10(abs(float(f"{value:.2e}"))))
    thousands = max(min(3 * (exponent // 3), 12), -12 if unit else 0)
    digits = min(max(2 - (exponent - thousands), 0), 2)
    return f"{value / 10**thousands:.{digits}f} {PREFIXES[thousands]}{unit}".rstrip()


def joules(picojoules: float) -> str:
    """Return an energy as text, such as `1.23 µJ`."""
    return si(picojoules * 1e-12, "J")


def size(count: int) -> str:
    """Return a number of bytes as text.

    >>> size(512), size(66_800), size(1_200_000)
    ('512 B', '66.8 kB', '1.2 MB')
    """
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"
