"""Whole runs for the tests, as a user starts them; and what several tests need around them."""

from __future__ import annotations

import csv
import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
import warm

from trainlab.runtime.lean_imports import import_lightning

import_lightning()  # as a run does, in half the time; the tests of modules that import Lightning come after this

if TYPE_CHECKING:
    import lightning as L

REPOSITORY = Path(__file__).resolve().parents[1]
DRAWN, UNDRAWN = "train.py", "tests/undrawn.py"  # the second leaves the figures out, for tests that look at none
# Without an account or anything else that would make a command another one.
INHERITED = {k: v for k, v in warm.ENVIRONMENT.items() if not k.startswith(("WANDB_", "HYDRA_", "LOCAL_RANK"))}


@dataclass(frozen=True)
class Run:
    """What a command came to."""

    status: int
    out: str
    err: str
    folder: Path

    @property
    def results(self) -> dict:
        return json.loads((self.folder / "results.json").read_text())

    @property
    def rows(self) -> list[dict[str, float]]:
        with open(self.folder / "metrics.csv", newline="") as file:
            return [{k: float(v) for k, v in row.items() if v != ""} for row in csv.DictReader(file)]

    @property
    def numbers(self) -> list[dict[str, float]]:
        """The rows without what the clock says."""
        return [
            {k: v for k, v in row.items() if k not in ("images_per_second", "training_seconds")} for row in self.rows
        ]


def start_command(
    *words: str,
    cold: bool = False,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[Any] | None = subprocess.PIPE,
    stderr: int | IO[Any] | None = subprocess.PIPE,
    text: bool = True,
    **environment: str,
) -> subprocess.Popen:
    """`python WORDS…` in the repository. It starts warm where that shows nowhere; `warm` says where it shows."""
    env = INHERITED | {"NETRC": os.devnull, **environment}
    cold = cold or not words[0].endswith(".py") or warm.needs_cold(env)
    popen, words = (subprocess.Popen, (sys.executable, *words)) if cold else (warm.Popen, words)
    return popen(words, cwd=REPOSITORY, env=env, stdin=stdin, stdout=stdout, stderr=stderr, text=text)


def command(*words: str, cold: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    """`start_command` it and wait until it has ended."""
    with start_command(*words, cold=cold, **environment) as process:
        try:
            out, err = process.communicate(timeout=500)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def processes_in(folder: Path) -> list[str]:
    """Those that have a file open whose name begins so; the log beside it, for one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            names = [os.readlink(file) for file in (process / "fd").iterdir()]
        except OSError:
            continue
        found += [process.name for name in names if name.startswith(str(folder))]
    return found


def children(parent: int) -> list[int]:
    """Process ids, in the order in which they were started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            _, its_parent, *_ = (process / "stat").read_text().rpartition(")")[2].split()  # state parent …
            found += [int(process.name)] * (int(its_parent) == parent)
    return sorted(found)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A disk of `size` at `folder`; gives what changes its size. The test is skipped where none may be mounted."""
    if sys.platform != "linux":
        pytest.skip("small disks are mounted on Linux only")
    libc, path, remount, detach = ctypes.CDLL(None, use_errno=True), os.fsencode(folder), 32, 2  # of <sys/mount.h>

    def mount(size: str, flags: int = remount) -> None:
        if libc.mount(b"tmpfs", path, b"tmpfs", ctypes.c_ulong(flags), f"size={size}".encode()):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    folder.mkdir()
    try:
        mount(size, 0)
    except OSError as error:
        pytest.skip(f"a small disk cannot be mounted here: {error.strerror}")
    try:
        yield mount
    finally:
        assert libc.umount2(path, detach) == 0


def bare_trainer(folder: Path, **options: Any) -> L.Trainer:
    """Lightning's trainer on a CPU with nothing beside the training."""
    import lightning as L

    return L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
