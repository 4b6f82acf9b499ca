"""Expected failures: each says what went wrong, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable


class AsnnError(Exception):
    """An expected failure, shown to the user without a traceback.

    Args:
        what: what went wrong, one line.
        why: the reason, if known.
        remedy: what the user can do.
    """

    def __init__(self, what: str, *, why: str = "", remedy: str = "") -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(": ".join(part for part in (what, why) if part))


class ConfigError(AsnnError, ValueError):
    """An invalid name, option or combination of options."""


def check_all(*checks: Callable[[], object]) -> None:
    """Call all checks, and report what they refuse together.

    Raises:
        ConfigError: that of a check; of several one that lists them, each with its remedy.
    """
    found: list[ConfigError] = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            found.append(error)
    if len(found) > 1:
        lines = [f"{each} ({each.remedy})" if each.remedy else str(each) for each in found]
        raise ConfigError(f"{len(found)} settings cannot be combined", why="\n".join(lines))
    if found:
        raise found[0]


class DataError(AsnnError):
    """A missing, damaged or invalid file or data set."""


class VerificationError(AsnnError):
    """An exported file whose outputs differ from those of the network.

    Attributes:
        content: the results of the verification, for JSON; None if there are none.
    """

    content: dict[str, object] | None = None
