"""The exception that readers raise, the errors that users see, and text that is safe to print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.errors import DataError

MAX_TEXT = 160  # characters of text from a file in a message


class InvalidFile(ValueError):
    """A file that breaks its format or exceeds a limit of its reader."""


def unreadable(path: Path | str, why: Any, *, what: str = "file") -> DataError:
    """Return the error for an invalid or damaged file, with the reason in one line."""
    return DataError(
        f"{sanitize(path)} is not a readable {what}",
        why=sanitize(why),
        remedy="make it again, or fetch it again",
    )


def pickle_refused(path: Path | str) -> DataError:
    """Return the error for a pickle, or for an archive that holds one."""
    return DataError(
        f"{sanitize(path)} is a pickle",
        why="a pickle can run any code when it is loaded, so it is not opened",
        remedy="save the weights as safetensors: safetensors.torch.save_file(model.state_dict(), "
        '"weights.safetensors")',
    )


def sanitize(text: Any, max_length: int = MAX_TEXT) -> str:
    """Return `text` as one line without control characters, shortened to `max_length`."""
    head = str(text)[: 4 * max_length]
    shown = "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in head)
    shown = " ".join(shown.split())
    return shown if len(shown) <= max_length else shown[: max_length - 1] + "…"
