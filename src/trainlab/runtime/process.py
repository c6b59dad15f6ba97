"""Settings of the whole process, each for the time that it saves; only commands make them, no function of the library.

`trainlab.run` is one of those. See docs/speed.md for what each was measured to buy.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next request: without this AlexNet's step of 128 images takes 1.5 times as
    long.

    By default every block above 32 MB comes fresh from the kernel, which fills it with zeros page by page, and goes
    back when it is freed. In return the process keeps the most that it has ever held. With other C libraries nothing
    happens. Source: mallopt(3).
    """
    trim_threshold, mmap_max = -1, -4  # M_… of malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, -1)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """A context manager for imports, and whatever else makes very many objects, in which the garbage collector rests: a
    tenth of a short run's CPU time, or none (1.1 times, 0.95 to 1.24).

    It would look again and again through all that torch brings along. What is there at the end stays, and is not looked
    through again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def quick_exit() -> Iterator[None]:
    """End the process as `sys.exit` inside asks for, without Python's own end: a second of CPU time less, a sixth of a
    short run.

    Python would free every object of torch and Lightning one by one.
    """
    try:
        yield
    except SystemExit as end:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        if end.code is None or isinstance(end.code, int):
            os._exit(end.code or 0)
        raise
