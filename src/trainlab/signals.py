"""The signals that ask a run to stop, and what is said when one came. Imports nothing heavy."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from trainlab.errors import RESUME_ME, StoppedError

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@contextmanager
def heard_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Inside, `handler` gets the signals; afterwards they mean what they meant before."""
    before = [signal.signal(number, handler) for number in SIGNALS]
    try:
        yield
    finally:
        for number, previous in zip(SIGNALS, before, strict=True):
            signal.signal(number, previous)


@contextmanager
def noted() -> Iterator[list[int]]:
    """Inside, the signals are only written down, in the list that it gives."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    with heard_by(note):
        yield asked


def stop_at_once(number: int, frame: FrameType | None) -> None:
    """The handler for the time before there is anything to save."""
    raise stopped(number, " before the training began; the same command starts it again")


def stopped(number: int, where: str) -> StoppedError:
    """The error to raise; `where` goes on with the sentence."""
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    return StoppedError(f"stopped by {name}{where}.", 128 + number if number == signal.SIGINT else RESUME_ME)


def how_to_go_on(run_dir: Path) -> str:
    return f"; to go on: the same command with ckpt={run_dir}"


def end_with(parent: int) -> None:
    """Linux kills this process when `parent` dies, however it dies: nothing is left over."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, prctl(2)
        ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
