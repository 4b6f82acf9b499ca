"""Names of nodes: those of the modules, changed where a file reserves the name."""

from __future__ import annotations

import re

# Names of other values in the exported files.
RESERVED = {
    *("input", "output", "image", "steps", "count", "code", "batch", "first", "zero", "one", "two"),
    *("logits", "mean_logits", "logits_per_step", "logits_sum", "steps_number", "all_steps"),
    *("wanted", "last_t", "steps_made", "t", "x", "t_after", "step_size", "step_logits"),
}
RESERVED_PATTERN = re.compile(r"(code_|_)t\d+(_|$)|^v_|^rest_")  # parts of an unrolled layer


class Names:
    """Chooses a unique name for every layer."""

    def __init__(self) -> None:
        self._taken = set(RESERVED)

    def of(self, where: str, kind: str) -> str:
        """Return a free name for a layer at that path: `features.3` is `features_leaky3`."""
        *parents, last = where.split(".")
        if last.isdigit():
            last = f"{kind.lower()}{last}"
        name = re.sub(r"\W", "_", "_".join([*parents, last]))
        if name in RESERVED or RESERVED_PATTERN.search(name):
            name = f"layer_{name.replace('_t', '_step')}"
        free, number = name, 2
        while free in self._taken:
            free, number = f"{name}_{number}", number + 1
        return free

    def reserve(self, name: str) -> None:
        """Reserve a name."""
        self._taken.add(name)
