"""Logs by name."""

from __future__ import annotations

from ...core.packages import require_package
from ...core.registry import Registry
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
        found[name] = observer_registry.get(name)
        package = getattr(found[name], "package", "")
        if package:
            require_package(
                package, f"train.log = {name!r}", otherwise=f"leave {name} out of train.log"
            )
    return found
