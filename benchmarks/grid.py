"""What a person asks for, as jobs: who takes part, and in which cases."""

from __future__ import annotations

from ..core.errors import ConfigError
from ..core.registry import unknown
from .baselines import BASELINES
from .case import Case
from .run import Job
from .work import What

WHAT: dict[str, tuple[What, ...]] = {
    "train": ("train",),
    "inference": ("inference",),
    "both": ("train", "inference"),
}
EXAMPLES = {",": "1,4,16", "x": "3x32x32"}


def choose(against: str, base: str) -> tuple[list[str], dict[str, str]]:
    """Return who takes part, and why others of `all` do not.

    Args:
        against: names with commas between them; `all` is everyone who starts at once.
        base: takes part as well.

    Raises:
        ConfigError: nobody has that name.
    """
    asked = [name.strip() for name in against.split(",") if name.strip()]
    for name in [*asked, base]:
        if name not in BASELINES and (name != "all" or name == base):
            raise unknown("contestant", name, ["all", *BASELINES])
    wanted = {base, *asked}
    if "all" in asked:
        wanted |= {name for name, each in BASELINES.items() if not each.slow_start}
    left_out = {
        name: f"it compiles for minutes; ask for it by name (--against all,{name})"
        for name in BASELINES
        if "all" in asked and name not in wanted
    }
    return [name for name in BASELINES if name in wanted], left_out


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
    """Return a job for each batch and number of steps.

    Raises:
        ConfigError: an option is not possible.
    """
    if what not in WHAT:
        raise unknown("choice of --what", what, list(WHAT))
    shape = tuple(whole_numbers("--in-shape", in_shape, "x"))
    cases = [
        Case(model, shape, classes, coding, t, b)  # type: ignore[arg-type]
        for b in whole_numbers("--batch", batch, ",")
        for t in whole_numbers("--steps", steps, ",")
    ]
    everyone = tuple(names)
    return [Job(case, everyone, WHAT[what], everyone) for case in cases]


def whole_numbers(option: str, text: str, separator: str) -> list[int]:
    """Return the numbers of an option.

    Raises:
        ConfigError: there is something else.
    """
    try:
        return [int(part) for part in text.split(separator)]
    except ValueError:
        raise ConfigError(
            f"{option} takes whole numbers such as {EXAMPLES[separator]}, not {text!r}"
        ) from None
