"""The process of one member of a sweep: `asnn sweep` starts it, and a person never does.

It reads an order as one JSON object from stdin and writes what came of it as another to stdout;
what the training says goes to stderr, which is the member's log.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from typing import Any

from ...terminal import console
from ...terminal.exits import exit_code

INTERRUPTED = 130


def main() -> int:
    """Carry out the order on stdin and return the exit code; only a bug raises."""
    order = json.load(sys.stdin)
    with warnings.catch_warnings():
        warnings.showwarning = console.show_warning
        try:
            done = carry_out(order)
        except SystemExit:  # a signal before there was anything to save
            done = False
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            console.show_error(error)
            why, remedy = getattr(error, "why", ""), getattr(error, "remedy", "")
            told = {"what": getattr(error, "what", str(error)), "why": why, "remedy": remedy}
            _answer({"error": told})
            return code
    _answer({"done": done})
    return 0 if done else INTERRUPTED


def carry_out(order: dict[str, Any]) -> bool:
    """Train and evaluate the member; return whether it came to its end.

    Args:
        order: `run`: the member's folder; `recipe`: its document; `split`: what it is evaluated
            on; `threads`; `parent`: the process without which nobody waits for it.
    """
    import torch

    from ....learning import check_recipe
    from ....records.layout import Run
    from ....sweeps.member import train_member
    from ...terminal.progress import Progress
    from ...terminal.signals import StopSignals

    torch.set_num_threads(order["threads"])
    recipe = check_recipe(order["recipe"], source="the member")
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopSignals(armed=False))
        progress = stack.enter_context(Progress(stop.arm))
        return train_member(
            recipe,
            Run(order["run"]),
            order["split"],
            progress,
            # A member whose sweep has been killed saves and stops as well.
            stop=lambda: stop() or os.getppid() != order["parent"],
        )


def _answer(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
