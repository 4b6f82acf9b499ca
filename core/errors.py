"""Expected failures: each says what went wrong, why, and what to do about it."""

from __future__ import annotations


class AsnnError(Exception):
    """An expected failure, shown to the user without a traceback.

    Args:
        what: what went wrong, one line.
        why: the reason, where it is known.
        remedy: what the user can do.
    """

    def __init__(self, what: str, *, why: str = "", remedy: str = "") -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(": ".join(part for part in (what, why) if part))


class ConfigError(AsnnError, ValueError):
    """A name, an option or a combination of options that cannot be used."""


class DataError(AsnnError):
    """Data or a file that is missing, damaged or not what it should be."""


class VerificationError(AsnnError):
    """An exported file that does not compute what the network does.

    Attributes:
        content: what the verification found, for JSON; None where it was not told.
    """

    content: dict[str, object] | None = None
