"""Random damage to a file, for hypothesis."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
BIT_FLIPS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=6
)
KEPT_SHARE = st.sampled_from([1.0, 1.0, 1.0, 0.9, 0.5, 0.1])


def damaged(content: bytes, flips: list[tuple[float, int]], keep: float) -> bytes:
    """Return the first share `keep` of `content` with flipped bits: (position in [0, 1), bit)."""
    changed = bytearray(content)
    for position, bit in flips:
        changed[int(position * len(changed))] ^= 1 << bit
    return bytes(changed[: max(1, int(keep * len(changed)))])
