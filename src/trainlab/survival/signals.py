"""The signals that ask a run to stop, and what is said when one came. Imports nothing heavy."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from trainlab.errors import RESUME_ME, StoppedError

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT)
FROM_THE_TERMINAL = (signal.SIGHUP, signal.SIGINT)  # to all its processes: children leave them to their parent


def outlives_the_terminal() -> bool:
    """Whether SIGHUP was ignored when this process was started, as by `nohup`: then it stays ignored."""
    return signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@contextmanager
def handling_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Inside, `handler` gets the signals that ask a run to stop; afterwards they mean what they meant before.

    In another thread than the first nothing is done: Python gives signals to the first one only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in SIGNALS if number != signal.SIGHUP or not outlives_the_terminal()]
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, previous in zip(numbers, before, strict=True):
            signal.signal(number, previous)


@contextmanager
def noted(again: Callable[[int], None] = lambda number: None) -> Iterator[list[int]]:
    """Inside, the signals are only written down, in the list that the block gets. again: called in the handler for
    every signal but the first, with the number of the first.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1:
            again(asked[0])

    with handling_signals(note):
        yield asked


class _Lasting(io.FileIO):
    """A terminal that may be closed: what is written after that goes nowhere, where an error would end the run."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(data)


def outlast_terminal() -> None:
    """Let this process go on writing when its terminal has been closed.

    The terminal is gone some milliseconds before the shell passes SIGHUP on, and for good under `nohup` and `disown`.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and stream.isatty():
            stream.flush()
            raw = _Lasting(stream.fileno(), "w", closefd=False)
            lasting = io.TextIOWrapper(
                io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=True, write_through=False
            )
            setattr(sys, name, lasting)


def stop_at_once(number: int, frame: FrameType | None) -> None:
    """The signal handler for the time before there is anything to save. Raises StoppedError."""
    raise stopped(number, " before the training began; the same command starts it again")


def stopped(number: int, where: str) -> StoppedError:
    """The error for a run that a signal stopped. where: the end of its sentence, such as " before the training
    began".
    """
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    return StoppedError(f"stopped by {name}{where}.", 128 + number if number == signal.SIGINT else RESUME_ME)


def resume_hint(run_dir: Path) -> str:
    """How to go on with a run that was stopped, as the end of a sentence."""
    return f"; to go on: the same command with ckpt={run_dir}"


def die_with_parent(parent: int) -> None:
    """Let Linux kill this process when `parent` dies, however that happens, so that nothing is left over."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, prctl(2)
        ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
