"""The base of every other package: errors, registries of names, atomic writes."""

from .errors import AsnnError, ConfigError, DataError
from .registry import Registry, nearest

__all__ = ["AsnnError", "ConfigError", "DataError", "Registry", "nearest"]
