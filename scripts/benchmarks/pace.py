"""The two ends of a timed process: it trains in blocks of steps, each when it is told to, and says how long it took."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback


class Enough(SystemExit):
    """The benchmark has seen enough. A SystemExit, so that no library takes it for a failure."""


@dataclass(frozen=True)
class Block:
    """So many timed steps that trained on so many images in so many seconds; cpu_seconds: of all cores together, in
    this process; memory_mb: see `Pace`.
    """

    steps: int
    images: int
    seconds: float
    cpu_seconds: float
    memory_mb: float


LEAD_IN = 5  # one part in so many of a block is done before the clock starts


class Pace:
    """Counts steps. Between two blocks the process waits and takes no time of any core.

    The first steps of a block are not timed: they find the caches full of another side's data, and a DataLoader's
    workers have their batches ready from the time of waiting.

    synchronise: waits until the device has done its work. memory: in 10⁶ bytes, of the device, or None for the
    resident memory of this process at its peak and of the processes that it has started.
    """

    def __init__(
        self,
        connection: Connection,
        synchronise: Callable[[], Any] = lambda: None,
        memory: Callable[[], float] | None = None,
    ) -> None:
        self.connection, self.synchronise = connection, synchronise
        self.memory = memory or resident_memory_mb
        self.lead = self.left = self.steps = self.images = 0
        self.began = self.cpu_began = 0.0
        self.paused: tuple[float, float] | None = None

    def wait(self) -> None:
        """Wait for the next block, which the other process asks for. Raises Enough when there is none."""
        self.connection.send("ready")
        steps = self.connection.recv()
        if steps is None:
            raise Enough
        self.lead, self.left = steps // LEAD_IN, steps
        self.steps = self.images = 0
        self.start_clocks()
        self.paused = None

    def start_clocks(self) -> None:
        """Let both clocks begin now, the wall's and that of the CPU time."""
        self.began, self.cpu_began = time.perf_counter(), time.process_time()

    def step(self, images: int, steps: int = 1) -> None:
        """Count `steps` steps on `images` images as done; at the end of a block, report it and wait for the next."""
        self.left -= steps
        if self.lead > 0:
            self.lead -= steps
            self.synchronise()
            self.start_clocks()
            return
        self.steps += steps
        self.images += images
        if self.left <= 0:
            self.synchronise()
            seconds, cpu_seconds = time.perf_counter() - self.began, time.process_time() - self.cpu_began
            self.connection.send(Block(self.steps, self.images, seconds, cpu_seconds, self.memory()))
            self.wait()

    @property
    def due(self) -> int:
        """Steps that are left of the lead-in, or after it of the block; at least 1."""
        return max(1, self.lead if self.lead > 0 else self.left)

    def pause(self) -> None:
        """Stop the clock: what follows is not a training step."""
        self.synchronise()
        self.paused = time.perf_counter(), time.process_time()

    def go_on(self) -> None:
        """Let the clock go on after a pause; without one nothing happens."""
        if self.paused:
            at, cpu_at = self.paused
            self.began += time.perf_counter() - at
            self.cpu_began += time.process_time() - cpu_at
            self.paused = None


class Paced(Callback):
    """Puts the steps of a Lightning run at a pace. What happens between two epochs is not timed."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Wait for the first block."""
        self.pace.wait()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Let the clock go on after the pause between two epochs."""
        self.pace.go_on()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the steps of the batch, and stop the clock after the epoch's last one."""
        self.pace.step(len(batch[0]), getattr(batch, "steps", 1))
        if batch_idx + 1 == trainer.num_training_batches:
            self.pace.pause()


def resident_memory_mb() -> float:
    """10⁶ bytes: the peak of this process, and what its children hold now, shared pages shared out (Linux)."""
    own = _kilobytes(Path("/proc/self/status"), "VmHWM")
    return (own + sum(_kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss") for pid in _descendants(os.getpid()))) / 1000


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:  # it has ended
            continue
    return found + [grandchild for child in found for grandchild in _descendants(child)]


def _kilobytes(file: Path, name: str) -> float:
    try:
        said = re.search(rf"^{name}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return float(said[1]) * 1.024 if said else 0.0
