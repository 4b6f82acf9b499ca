"""Files in the idx format of MNIST."""

import numpy as np


def idx_bytes(array: np.ndarray) -> bytes:
    """Return an idx file, written from the specification."""
    header = bytes([0, 0, 8, array.ndim])
    for size in array.shape:
        header += size.to_bytes(4, "big")
    return header + array.astype(np.uint8).tobytes()
