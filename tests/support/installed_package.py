"""A package as if it were installed: its modules and its entry points in a folder of its own."""

import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from asnn.core.registry import Registry

BARS = '''
    import torch
    from asnn.datasets.base import Source, Split


    def bars(*, samples: int = 120) -> Source:
        """Vertical and horizontal bars in noise."""
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(samples, 1, 6, 6, generator=generator) * 0.3
        labels = torch.arange(samples) % 2
        images[labels == 0, :, 2] = 1
        images[labels == 1, :, :, 2] = 1
        part = samples // 3
        return Source(
            Split(images[part:], labels[part:]),
            Split(images[:part], labels[:part]),
            classes=["horizontal", "vertical"],
        )
'''
"""A module with a data set."""


def install(folder: Path, name: str, modules: Mapping[str, str], entry_points: str) -> None:
    """Write a package with these modules into a folder like site-packages."""
    package, metadata = folder / name, folder / f"{name}-1.0.dist-info"
    for path in (package, metadata):
        path.mkdir()
    (package / "__init__.py").write_text("")
    for module, text in modules.items():
        (package / f"{module}.py").write_text(textwrap.dedent(text))
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(textwrap.dedent(entry_points))


@contextmanager
def findable(folder: Path, name: str, *registries: Registry) -> Iterator[None]:
    """Let the registries find the package, as in a process that starts after its installation."""

    def forget() -> None:
        for registry in registries:
            vars(registry).pop("_external", None)

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        forget()
        yield
    forget()
    for module in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[module]
