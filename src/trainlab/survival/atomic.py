"""Files that are written whole or not at all, and that outlast a loss of power."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_open(path: Path) -> Iterator[BinaryIO]:
    """Opens a file beside `path` that takes its place when the block ends well; else `path` stays what it was.

    The content is on the disk before the name is. Raises OSError.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    for old in path.parent.glob(f".{path.name}.*.tmp"):
        writer = old.suffixes[-2][1:]
        if writer.isdigit() and not _is_alive(int(writer)):  # killed while it was writing
            old.unlink(missing_ok=True)
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def atomic_write(path: Path, text: str) -> None:
    with atomic_open(path) as file:
        file.write(text.encode())


def sync_folder(folder: Path) -> None:
    """Makes renames inside it lasting."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
