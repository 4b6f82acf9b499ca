"""Logs by name."""

from __future__ import annotations

from ...core.errors import ConfigError
from ...core.packages import require_package
from ...core.registry import Registry, unknown
from .log import Log

observer_registry = Registry(
    "observers",
    {
        "csv": "learning.monitoring.csv_log:CsvLog",
        "tensorboard": "learning.monitoring.tensorboard_log:TensorboardLog",
    },
)


def find_logs(names: list[str]) -> dict[str, type[Log]]:
    """Return the classes of the logs that `train.log` names.

    Raises:
        ConfigError: an unknown name, or a plug-in that cannot be loaded.
        AsnnError: the package that a log needs is not installed.
    """
    found = {}
    for name in names:
        if name not in observer_registry.names():
            raise _unknown(name)
        found[name] = observer_registry.get(name)
        package = getattr(found[name], "package", "")
        if package:
            require_package(
                package, f"train.log = {name!r}", otherwise=f"leave {name} out of train.log"
            )
    return found


def _unknown(name: str) -> ConfigError:
    error = unknown("log", name, observer_registry.names())
    error.remedy = error.remedy or "a plug-in adds others: docs/training.md has that of MLflow"
    return error
