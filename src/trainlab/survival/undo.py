"""What a command makes on the disk before it is known to be right, and how it is undone when it is not."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainlab.errors import InputError

# What a run, a sweep or packing writes before it begins, innermost first; anything else is its work
BEGINNINGS = (".hydra/*", ".hydra", ".lock", ".writable", "multirun.yaml", "rank_*.log")
WAIT_SECONDS = 1.0  # for the other processes of torchrun, of which each removes the folders that it made


class Footprint:
    """What is in a folder now, or that it is not there, so that a command which turns out to be a mistake can be
    undone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.made = [place for place in (self.folder, *self.folder.parents) if not place.exists()]
        self.names = set(self.folder.glob("*"))
        self.before = {path: path.read_bytes() if path.is_file() else b"" for path in self._beginnings()}

    def _beginnings(self) -> list[Path]:
        return [path for pattern in BEGINNINGS for path in self.folder.glob(pattern)]

    def undo(self) -> None:
        """Bring the folder back to that state; where work has been done since, or somebody else's files came, all
        stays.
        """
        self.restore()
        now = self._beginnings()
        if set(self.folder.glob("*")) <= self.names.union(now):
            for path in now:
                if path not in self.before:
                    with contextlib.suppress(OSError):  # another process was quicker, or has put a file in there
                        path.rmdir() if path.is_dir() else path.unlink()
        self.remove_folders()

    def restore(self) -> None:
        """Write back the files that were there and have been written over: the configuration of a run that goes on."""
        for path, content in self.before.items():
            if path.is_file() and path.read_bytes() != content:
                path.write_bytes(content)

    def remove_folders(self) -> None:
        """Remove the folders that were not there before and are empty."""
        for place in self.made:
            with contextlib.suppress(OSError):
                place.rmdir()


MADE: list[Footprint] = []  # by this command, the folder of its run or its sweep


def undo_all() -> None:
    """Undo what this command made, because it was a mistake. Of torchrun's processes the first removes files, and
    each removes the folders it made.
    """
    for footprint in MADE:
        if is_first():
            footprint.undo()
        deadline = time.monotonic() + (WAIT_SECONDS if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0)
        while footprint.made and footprint.folder.is_dir() and time.monotonic() < deadline:
            time.sleep(0.05)
            footprint.remove_folders()
    MADE.clear()


def restore_all() -> None:
    """Write back what this command has written over, because the directory is another command's."""
    if is_first():
        for footprint in MADE:
            footprint.restore()
    MADE.clear()


def is_first() -> bool:
    """Whether this process is the one that writes, of those that torchrun or SLURM started."""
    return os.environ.get("RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


@contextmanager
def undone_on_a_mistake(folder: Path) -> Iterator[None]:
    """Inside, an InputError leaves `folder` as it was before, and leaves none where there was none."""
    footprint = Footprint(folder)
    try:
        yield
    except InputError as error:
        if error.status == InputError.status:
            footprint.undo()
        raise
