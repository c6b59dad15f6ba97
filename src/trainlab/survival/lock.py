"""One command at a time in a directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from trainlab.errors import TakenError


@contextmanager
def directory_lock(folder: Path, *, or_else: str, seconds: float = 0) -> Iterator[None]:
    """Inside, no other process has this directory. Raises TakenError(or_else) when another one still has it after
    `seconds`.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=seconds)
    except Timeout as error:
        raise TakenError(or_else) from error
    try:
        yield
    finally:
        lock.release()
