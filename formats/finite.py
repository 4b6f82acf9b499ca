"""Whether values are numbers."""

from __future__ import annotations

import numpy as np


def is_finite(array: np.ndarray) -> bool:
    """Return whether all values are finite, without an array of that size beside it."""
    if array.dtype.kind not in "fc" or array.size == 0:
        return True
    # The extremes are NaN or infinite where any value is.
    return bool(np.isfinite(array.min()) and np.isfinite(array.max()))
