"""What every other part stands on: errors, registries of names, files that appear whole."""

from .errors import AsnnError, ConfigError, DataError
from .registry import Registry, nearest

__all__ = ["AsnnError", "ConfigError", "DataError", "Registry", "nearest"]
