"""Jobs from the options of `asnn bench`: which baselines, and which cases."""

from __future__ import annotations

from ..core.errors import ConfigError
from ..core.registry import unknown
from .baselines import BASELINES
from .case import Case
from .run import Job
from .work import CallKind

CALLS: dict[str, tuple[CallKind, ...]] = {
    "train": ("train",),
    "inference": ("inference",),
    "both": ("train", "inference"),
}
SLOW_START = "it compiles for minutes"
EXAMPLES = {",": "1,4,16", "x": "3x32x32"}


def choose(against: str, base: str) -> tuple[list[str], dict[str, str]]:
    """Return the names of the baselines, and why others are left out of `all`.

    Args:
        against: names separated by commas; `all` are those that start without long compilation and
            are not `apart`.
        base: included in any case.

    Raises:
        ConfigError: a name is unknown.
    """
    requested = [name.strip() for name in against.split(",") if name.strip()]
    for name in [*requested, base]:
        if name not in BASELINES and (name != "all" or name == base):
            raise unknown("baseline", name, ["all", *BASELINES])
    chosen = {base, *requested}
    if "all" in requested:
        chosen |= {n for n, each in BASELINES.items() if not (each.slow_start or each.apart)}
    left_out = {
        name: f"{each.apart or SLOW_START}; ask for it by name (--against all,{name})"
        for name, each in BASELINES.items()
        if "all" in requested and name not in chosen
    }
    return [name for name in BASELINES if name in chosen], left_out


def jobs_of(
    names: list[str],
    *,
    model: str,
    coding: str,
    steps: str,
    batch: str,
    in_shape: str,
    classes: int,
    what: str,
) -> list[Job]:
    """Return a job for each batch size and number of steps.

    Raises:
        ConfigError: an option is invalid.
    """
    if what not in CALLS:
        raise unknown("choice of --what", what, list(CALLS))
    shape = tuple(whole_numbers("--in-shape", in_shape, "x"))
    cases = [
        Case(model, shape, classes, coding, t, b)  # type: ignore[arg-type]
        for b in whole_numbers("--batch", batch, ",")
        for t in whole_numbers("--steps", steps, ",")
    ]
    return [Job(case, tuple(names), CALLS[what], tuple(names)) for case in cases]


def whole_numbers(option: str, text: str, separator: str) -> list[int]:
    """Return the numbers of an option.

    Raises:
        ConfigError: the option holds anything else.
    """
    try:
        return [int(part) for part in text.split(separator)]
    except ValueError:
        raise ConfigError(
            f"{option} takes whole numbers such as {EXAMPLES[separator]}, not {text!r}"
        ) from None
