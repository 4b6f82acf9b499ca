"""Exit codes, and the exit code of each error."""

from __future__ import annotations

from ...core.errors import AsnnError, ConfigError, DataError, VerificationError
from ...core.packages import missing_package

FAILURE = 1
USAGE = 2
UNVERIFIED = 3
DATA = 4
PIPE_CLOSED = 141  # 128 + SIGPIPE, as a shell reports it


def out_of_memory(error: Exception) -> AsnnError | None:
    """Return the error to show if memory ran out; None for any other error."""
    text = next(iter(str(error).splitlines()), "")
    of_torch = isinstance(error, RuntimeError) and ("allocate" in text or "out of memory" in text)
    if not (of_torch or isinstance(error, MemoryError)):
        return None
    return AsnnError(
        "there is not enough memory",
        why=text,
        remedy="lower train.batch_size, coding.steps or the size of the network",
    )


def import_failed(error: Exception) -> AsnnError | None:
    """Return the error to show if a package is missing; None for any other error."""
    if not isinstance(error, ImportError) or (error.name or "").partition(".")[0] == "asnn":
        return None
    return missing_package(error)


def exit_code(error: Exception) -> int | None:
    """Return the exit code of an expected failure, or None for a bug."""
    if isinstance(error, ConfigError):
        return USAGE
    if isinstance(error, VerificationError):
        return UNVERIFIED
    if isinstance(error, DataError):
        return DATA
    if isinstance(error, AsnnError):
        return FAILURE
    if isinstance(error, OSError):  # a folder without permission, a name that is too long
        return FAILURE
    # typer's usage errors have no common public class; they carry their exit code.
    code = getattr(error, "exit_code", None)
    return code if isinstance(code, int) else None
