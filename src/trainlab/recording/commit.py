"""Which code this is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]  # in a checkout; somewhere else in an installed copy


def commit(repository: Path = REPOSITORY) -> str | None:
    """The git commit of the code, with "+changes" when the tree differs from it; None outside a checkout."""

    def git(*words: str) -> str:
        command = ["git", "-C", os.fspath(repository), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    if not (repository / ".git").exists():  # an installed copy, though it may lie inside some other checkout
        return None
    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
