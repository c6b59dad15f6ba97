"""Files that are written whole or not at all, and that outlast a loss of power."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from trainlab.errors import RunError


@contextmanager
def atomic_open(path: Path) -> Iterator[BinaryIO]:
    """A file opened beside `path`, which takes the place of `path` when the block ends well; otherwise `path` stays
    as it was.

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
    """Write text or bytes to `path`, whole or not at all. Raises OSError."""
    with atomic_open(path) as file:
        file.write(text.encode())


def atomic_write_all(files: Mapping[Path, bytes]) -> None:
    """Write many files, each whole or not at all, into folders that are there. Waits for the disk twice, not twice for
    each. Raises OSError, before which some may have been written.
    """
    beside = {path: path.with_name(f".{path.name}.tmp") for path in files}  # the next to write takes over what is left
    try:
        for path, content in files.items():
            with open(beside[path], "wb") as file:
                file.write(content)
        _sync_all(beside.values())
        for path in files:
            os.replace(beside[path], path)
    finally:
        for left in beside.values():
            left.unlink(missing_ok=True)
    _sync_all(dict.fromkeys(path.parent for path in files))


def _sync_all(paths: Iterable[Path]) -> None:
    """Make the files or folders last."""
    if sys.platform == "linux":  # where it waits for the disk
        os.sync()
        return
    for path in paths:
        sync_folder(path)


def sync_folder(folder: Path) -> None:
    """Make renames inside the folder last, also if the machine loses its power now."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Inside, an OSError becomes a RunError which says that `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{error.filename or path} cannot be written ({error.strerror or error}).") from error
