"""Sizes in options: `[height, width]`, or one number for both."""

from __future__ import annotations

from ...core.errors import ConfigError


def height_and_width(size: int | list[int] | None) -> tuple[int, int] | None:
    """Return the size that an option states, None for none.

    >>> height_and_width(32), height_and_width([24, 32])
    ((32, 32), (24, 32))

    Raises:
        ConfigError: it is not one or two positive numbers.
    """
    if size is None:
        return None
    sides = [size, size] if isinstance(size, int) else size
    if len(sides) != 2 or min(sides) < 1:
        raise ConfigError(
            f"size is {size}", why="it is [height, width], both positive, or one number for both"
        )
    return sides[0], sides[1]
