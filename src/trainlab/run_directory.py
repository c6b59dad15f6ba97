"""What a run's directory holds, by name, and what can be told from it without loading torch."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from trainlab.errors import TakenError

CONFIG = Path(".hydra/config.yaml")
CHECKPOINTS = Path("checkpoints")
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
METRICS = "metrics.csv"
PROFILE = Path("profile")
RESULTS = "results.json"  # written last: it says that the run is finished


@contextmanager
def only_one(folder: Path, *, or_else: str, seconds: float = 0) -> Iterator[None]:
    """Inside, no other process has this directory. Raises TakenError(or_else) when one still has it after `seconds`."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        raise TakenError(or_else) from None
    try:
        yield
    finally:
        lock.release()


def own_checkpoint(run_dir: Path) -> bool:
    """Whether there is one to go on from."""
    return any((run_dir / CHECKPOINTS / name).is_file() for name in (LAST, PREVIOUS))


def read_results(run_dir: Path) -> dict[str, Any] | None:
    """None where the run is not finished."""
    try:
        return json.loads((run_dir / RESULTS).read_text())
    except (OSError, ValueError):
        return None


def read_rows(run_dir: Path) -> list[dict[str, float]]:
    """metrics.csv, a row for each epoch; the last line may still be in the writing and is left out then."""
    try:
        text = (run_dir / METRICS).read_text()
    except OSError:
        return []
    whole = text[: text.rfind("\n") + 1]
    return [{k: float(v) for k, v in row.items() if k and v} for row in csv.DictReader(whole.splitlines())]
