"""SIGINT, SIGTERM and SIGHUP make a training save and stop; a second one stops it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from types import FrameType, TracebackType

HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
# A service manager, `timeout` and torchrun signal a process, and also its group or its parent,
# which passes the signal on: signals within so many seconds are one request.
SAME_REQUEST_SECONDS = 1.0


class StopSignals:
    """Context manager that records the first signal instead of ending the process.

    Args:
        armed: whether there is something to save; until then (see `arm`) a signal ends the process
            at once.
        silent: print nothing, because another process does.

    Attributes:
        received: the signal's number, or None.
    """

    def __init__(self, *, armed: bool = True, silent: bool = False) -> None:
        self.received: int | None = None
        self._received_at = 0.0
        self._armed = armed
        self._silent = silent
        self._process = os.getpid()
        self._previous: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM, HANGUP):
            # Under nohup a training continues after its terminal is closed.
            if number is not None and not (
                number == HANGUP and signal.getsignal(number) == signal.SIG_IGN
            ):
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def arm(self) -> None:
        """Make signals save first from now on."""
        self._armed = True

    def __call__(self) -> bool:
        return self.received is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as in shells. SIGHUP counts as SIGTERM, and so does a signal
        that another process of the training has received."""
        return 128 + (signal.SIGINT if self.received == signal.SIGINT else signal.SIGTERM)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a data worker, forked from this process
            return
        if self.received is not None:
            if time.monotonic() - self._received_at > SAME_REQUEST_SECONDS:
                for each, handler in self._previous.items():
                    # Default action also for a signal that was ignored, as SIGINT is in the
                    # background of a script.
                    signal.signal(each, handler if callable(handler) else signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        self.received, self._received_at = number, time.monotonic()
        if not self._armed:
            raise SystemExit(self.exit_code)
        if self._silent:
            return
        # Unbuffered, since the signal may have interrupted a write to the buffered stream. The
        # terminal may be closed.
        with contextlib.suppress(OSError):
            os.write(2, b"stopping after this step; repeat to stop at once\n")
