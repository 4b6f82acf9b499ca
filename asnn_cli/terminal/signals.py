"""SIGINT, SIGTERM and SIGHUP ask a training to save and stop; a later one stops it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from types import FrameType, TracebackType

HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
# A service manager, `timeout` and torchrun signal a process, and its group or its parent, which
# passes it on: what comes within so many seconds is the same request.
TOGETHER = 1.0


class StopSignals:
    """While the context is open, remember the first of the signals instead of dying of it.

    Args:
        armed: there is something to save already; otherwise a signal ends the process at once
            until `arm` is called.
        silent: say nothing, where another process does.

    Attributes:
        received: the signal's number, or None.
    """

    def __init__(self, *, armed: bool = True, silent: bool = False) -> None:
        self.received: int | None = None
        self._moment = 0.0
        self._armed = armed
        self._silent = silent
        self._process = os.getpid()
        self._former: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM, HANGUP):
            # Under nohup the end of the terminal is nothing to stop at.
            if number is not None and not (
                number == HANGUP and signal.getsignal(number) == signal.SIG_IGN
            ):
                self._former[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def arm(self) -> None:
        """From now on there is something to save."""
        self._armed = True

    def __call__(self) -> bool:
        return self.received is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells count. SIGHUP counts as SIGTERM, and so does a
        signal that another process of the training has received."""
        return 128 + (signal.SIGINT if self.received == signal.SIGINT else signal.SIGTERM)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a worker that was forked meanwhile
            return
        if self.received is not None:
            if time.monotonic() - self._moment > TOGETHER:
                for each, handler in self._former.items():
                    # One that was ignored, as SIGINT is in the background of a script, ends it too.
                    signal.signal(each, handler if callable(handler) else signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        self.received, self._moment = number, time.monotonic()
        if not self._armed:
            raise SystemExit(self.exit_code)
        if self._silent:
            return
        # Not through a buffered stream, which the signal may have caught in the middle of a write;
        # and the terminal may be gone.
        with contextlib.suppress(OSError):
            os.write(2, b"stopping after this step; once more to stop at once\n")
