"""Downloads by torchvision, complete or not at all."""

import contextlib
import tarfile
import tempfile
from http.client import HTTPException
from pathlib import Path

from ....core.errors import DataError
from .torchvision_import import torchvision

FAILURES = (OSError, RuntimeError, RecursionError, HTTPException, EOFError, tarfile.TarError)
"""URLError and timeouts are OSErrors; torchvision raises RuntimeError where a checksum differs."""


def download(
    title: str,
    class_name: str,
    root: Path,
    wanted: list[str],
    *,
    allowed: bool,
    **options: object,
) -> None:
    """Download by `torchvision.datasets.<class_name>` and move the `wanted` paths into `root`.

    The download goes to a temporary folder: if it is interrupted, nothing is left in `root`.
    Existing files are kept.

    Raises:
        DataError: downloads are not allowed, there is no network, the server fails, or `root`
            cannot be written.
    """
    folders = sorted({str((root / relative).parent) for relative in wanted})
    files = f"{', '.join(Path(relative).name for relative in wanted)} into {', '.join(folders)}"
    if not allowed:
        raise DataError(
            f"{title} is not in {root}",
            why="data.download is false, so the network is not used",
            remedy=f"name its folder with --data-dir, or put {files}",
        )
    new = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as temporary:
            getattr(torchvision().datasets, class_name)(temporary, download=True, **options)
            for relative in wanted:
                target = root / relative
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    (Path(temporary) / relative).replace(target)
    except FAILURES as error:
        if new:
            with contextlib.suppress(OSError):
                root.rmdir()
        raise DataError(
            f"could not download {title}",
            why=" ".join(str(error).split()) or type(error).__name__,
            remedy=f"check the network and run again, or put {files}",
        ) from error
