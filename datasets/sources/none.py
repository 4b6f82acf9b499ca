"""No data: of a run whose network came without them."""

from ...core.errors import ConfigError
from ..base import Source

NO_DATA = "none"
"""The name of this data set."""


def load_none() -> Source:
    """Refuse to load anything.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        "this run has no data",
        why="its network was imported without them, and data.name is none",
        remedy="name them: --set data.name=NAME, with the keys of that data set, such as "
        "--data-dir DIR or --set data.path=FILE; if they are images or events, in `asnn import`, "
        "which makes a run for them",
    )
