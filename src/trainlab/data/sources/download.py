"""One process downloads, the others wait."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from trainlab.errors import InputError


def download_once(root: Path, complete: Callable[[], bool], fetch: Callable[[], object], otherwise: str) -> None:
    """Calls `fetch` to fill the folder `root` unless `complete` says that another process just did.

    `fetch` must be one that continues or replaces what an interrupted download left (torchvision's do, by
    MD5). Raises InputError when it fails; its sentence ends with `otherwise`, what the user can do instead.
    """
    from filelock import FileLock

    lock = root / ".download.lock"
    ours = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            if not complete():
                fetch()
    except (OSError, HTTPException, RuntimeError, ValueError, EOFError) as error:
        if ours:
            lock.unlink(missing_ok=True)
            for folder in (*root.glob("*/*"), *root.glob("*"), root):
                with contextlib.suppress(OSError):
                    folder.rmdir()  # only what is an empty folder
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"the download into {root} failed ({reason})", hint=otherwise) from error
