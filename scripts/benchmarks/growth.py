"""Memory, start and time of an epoch as a packed set grows from 1,000 to 200,000 pictures.

Of 128×128, so that the largest set, 10 GB, is held by the system's cache on common machines: what is beyond the memory
is as fast as the disk is.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainlab.data.packed.format import FORMAT, SET, checksum_of
from trainlab.errors import RunError
from trainlab.recording.commit import REPOSITORY

COUNTS = (1_000, 10_000, 50_000, 200_000)
SIZE, CLASSES, VALIDATION = 128, 10, 100
COMMAND = (
    "model=perceptron aug=alexnet trainer.max_epochs=1 logger=none"  # so small a network that loading is what counts
)


@dataclass(frozen=True)
class Point:
    """images: of the training set. seconds: epoch: of training; rest: of the whole command, without that epoch."""

    images: int
    memory_mb: float
    epoch: float
    rest: float


def grow(on_progress: Callable[[str], None], counts: Sequence[int] = COUNTS) -> list[Point]:
    """`python train.py model=perceptron …` on each size, one epoch from start to end."""
    found = []
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_sparse_set(folder / "set", count)
            words = [
                f"data.root={folder / 'set'}",
                f"data.val_fraction={VALIDATION / count}",  # as many for every size
                "data=imagenet",
                *COMMAND.split(),
                f"hydra.run.dir={folder / 'run'}",
            ]
            done = subprocess.run(
                [sys.executable, str(REPOSITORY / "train.py"), *words], capture_output=True, text=True
            )
            if done.returncode:
                raise RunError(f"a run on {count:,} packed pictures failed: {done.stderr.strip().splitlines()[-1]}")
            results = json.loads((folder / "run" / "results.json").read_text())
            epoch = results["last/training_seconds"]
            found.append(Point(count, results["peak_memory_mb"], epoch, results["seconds"] - epoch))
        on_progress(f"{count:,} pictures")
    return found


def write_sparse_set(folder: Path, count: int) -> None:
    """A packed set of black pictures that takes almost no disk: holes in a file are read like any other bytes."""
    folder.mkdir(parents=True)
    splits = {}
    for part, number in (("train", count), ("val", VALIDATION)):
        length = number * 3 * SIZE**2
        with open(folder / f"{part}.images", "wb") as file:
            file.truncate(length)
        (np.arange(number, dtype=np.int32) % CLASSES).tofile(folder / f"{part}.labels")
        splits[part] = {"count": number, "bytes": length, "checksums": [], "whole_files": {}, "skipped": []}
    said = {
        "format": FORMAT,
        "size": SIZE,
        "store": "raw",
        "classes": [f"class{label}" for label in range(CLASSES)],
        "splits": splits,
        "mean": [0.5, 0.5, 0.5],
        "covariance": [[0.05, 0.04, 0.04], [0.04, 0.05, 0.04], [0.04, 0.04, 0.05]],
    }
    (folder / SET).write_text(json.dumps(said | {"checksum": checksum_of(said)}))
