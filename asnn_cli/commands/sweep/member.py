"""The process of one member of a sweep, which `asnn sweep` starts.

It reads its task as one JSON object from stdin and writes the outcome as another to stdout; the
progress of the training goes to stderr, which is the member's log.
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
    """Train the member described on stdin and return the exit code; only a bug raises."""
    task = json.load(sys.stdin)
    with warnings.catch_warnings():
        warnings.showwarning = console.show_warning
        try:
            done = train(task)
        except SystemExit:  # a signal before there was anything to save
            done = False
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            why, remedy = getattr(error, "why", ""), getattr(error, "remedy", "")
            what = getattr(error, "what", str(error))
            _report({"error": {"what": what, "why": why, "remedy": remedy}})
            with contextlib.suppress(OSError):  # the disk of the log may be what is full
                console.show_error(error)
            return code
    _report({"done": done})
    return 0 if done else INTERRUPTED


def train(task: dict[str, Any]) -> bool:
    """Train and evaluate the member; return whether it is finished.

    Args:
        task: `run`: the member's folder; `recipe`: its document; `split`: evaluated on it;
            `threads`; `parent`: the process of the sweep.
    """
    import torch

    from ....learning import check_recipe
    from ....records.layout import Run
    from ....sweeps.member import train_member
    from ...terminal.progress import Progress
    from ...terminal.signals import StopSignals

    torch.set_num_threads(task["threads"])
    recipe = check_recipe(task["recipe"], source="the member")
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopSignals(armed=False))
        progress = stack.enter_context(Progress(stop.arm))
        return train_member(
            recipe,
            Run(task["run"]),
            task["split"],
            progress,
            # A member whose sweep was killed saves and stops as well.
            stop=lambda: stop() or os.getppid() != task["parent"],
        )


def _report(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
