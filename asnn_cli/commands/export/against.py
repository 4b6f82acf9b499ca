"""`asnn export --check FILE --against FILE.nir`: two files compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...terminal import console
from .amount import samples_for
from .options import require_file


def network_of(path: Path, *, dt: float | None, steps: int | None) -> Any:
    """Return the network of a NIR file as the source of exports, which are compared with it.

    Raises:
        ConfigError: dt or the number of steps are missing, or it has a layer that is not compared.
        DataError: the file cannot be read.
    """
    from ....core.errors import ConfigError
    from ....exporters import source_of
    from ....records.import_nir import import_nir

    imported = import_nir(require_file(path), dt=dt, steps=steps)
    for note in imported.notes:
        console.note(f"note: {path}: {note}")
    network = source_of(imported.model)
    if network.refusal is not None:
        raise ConfigError(
            f"no file is compared with {path}",
            why=f"{network.refusal.what}: {network.refusal.why}",
            remedy="compare with the network that the file is from: --from MODULE:FUNCTION",
        )
    return network


def samples_against(network: Any, samples_from: Path | None, number: int | None) -> Any:
    """Return samples of a file, or noise.

    Raises:
        DataError: the file cannot be read, or has samples of another shape.
    """
    from ....exporters import random_samples
    from ....exporters.samples import load_samples

    many = samples_for(network, number, noise=samples_from is None)
    if samples_from is None:
        return random_samples(network.sample_shape, many)
    return load_samples(samples_from, network.sample_shape, many)
