"""Several ways to do the same work, in turn: A B A B. Each is a process of its own that waits while another works."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.workloads import IMPLEMENTATIONS, Workload
from trainlab.errors import RunError


@dataclass
class Timed:
    """What was measured of one side.

    start_up: seconds from the start of its process to its first step done, or None where that was not timed. rates,
    step_ms, cpu_ms: images/s, ms/step and milliseconds of CPU time/step, one for each block. memory_mb: the most that a
    block saw, in 10⁶ bytes.
    """

    side: str
    start_up: float | None = None
    rates: list[float] = field(default_factory=list)
    step_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    memory_mb: float = 0.0

    @property
    def images_per_second(self) -> float:
        """The median over the blocks."""
        return statistics.median(self.rates)


def ratios(ours: Timed, other: Timed) -> list[float]:
    """Our speed over the other one's, round by round: what slows the machine for a while slows both."""
    return [a / b for a, b in zip(ours.rates, other.rates, strict=True)]


def time_interleaved(
    workload: Workload,
    overrides: Sequence[str],
    *,
    steps: int,
    rounds: int,
    folder: Path,
    on_progress: Callable[[str], None],
    cold: bool = True,
) -> list[Timed]:
    """Time every implementation of `workload`.

    on_progress: is given what has been done, once for each start and each block.
    cold: each process imports for itself, and its start is timed; else it is forked from one that has the imports.
    Raises RunError when a side fails; what it printed is in `folder`.
    """
    runners: list[tuple[Timed, Runner]] = []
    try:
        for side in workload.sides:  # one after the other: each start is timed alone
            runner = Runner(side, list(overrides), folder / workload.name / side, cold)
            timed = Timed(side)
            runners.append((timed, runner))
            began = time.perf_counter()
            runner.start()
            runner.block(1)
            timed.start_up = time.perf_counter() - began if cold else None
            on_progress(f"{side} has started")
        for _, runner in runners:
            runner.block(max(1, steps // 2))
        for number in range(rounds):
            for timed, runner in runners:
                block = runner.block(steps)
                timed.rates.append(block.images / block.seconds)
                timed.step_ms.append(1000 * block.seconds / block.steps)
                timed.cpu_ms.append(1000 * block.cpu_seconds / block.steps)
                timed.memory_mb = max(timed.memory_mb, block.memory_mb)
                on_progress(f"round {number + 1}: {timed.side} {timed.rates[-1]:,.0f} img/s")
    finally:
        for _, runner in runners:
            runner.end()
    return [timed for timed, _ in runners]


IMPORTS = ["trainlab.training", "benchmarks.usual_stack", "torchvision.datasets", "sklearn.neural_network"]


class Runner:
    """A side in a process of its own, which works only while it is asked for a block.

    side: a key of IMPLEMENTATIONS. folder: for what it prints, output.txt. cold: see `time_interleaved`.
    """

    def __init__(self, side: str, overrides: list[str], folder: Path, cold: bool) -> None:
        self.side, self.overrides, self.folder = side, overrides, folder
        context: Any = multiprocessing.get_context("spawn" if cold or sys.platform != "linux" else "forkserver")
        if not cold:
            context.set_forkserver_preload(IMPORTS)
        self.connection, self.theirs = context.Pipe()
        folder.mkdir(parents=True, exist_ok=True)
        module = IMPLEMENTATIONS[side][0]
        self.process = context.Process(target=_run, args=(module, overrides, self.theirs, folder), name=side)

    def start(self) -> None:
        """Start the process, and wait until it is ready for its first block. Raises RunError where it ends."""
        self.process.start()
        self.theirs.close()  # so that its death is noticed
        self._receive()

    def block(self, steps: int) -> Any:
        """Let it do so many steps; returns its `pace.Block` once it waits again. Raises RunError where it ends."""
        self.connection.send(steps)
        block = self._receive()
        self._receive()  # ready for the next
        return block

    def end(self) -> None:
        """End the process, within 20 seconds by itself or else by killing it."""
        if self.process.pid is None:  # it was never started
            return
        with contextlib.suppress(OSError):  # it has ended by itself
            self.connection.send(None)
        self.process.join(20)
        self.process.kill()

    def _receive(self) -> Any:
        try:
            return self.connection.recv()
        except EOFError:
            raise RunError(
                f"the benchmark's side {self.side} ended early; {self.folder / 'output.txt'} says why."
            ) from None


def _run(module: str, overrides: list[str], connection: Connection, folder: Path) -> None:
    """In the new process, whose output goes to a file as to a terminal of 120 columns."""
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ |= {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "COLUMNS": "120", "WANDB_SILENT": "true"}
    try:
        from benchmarks.pace import Pace
        from benchmarks.stand_in import offer

        offer()
        name, _, trick = module.partition(":")
        importlib.import_module(name).run(overrides, Pace(connection), folder, *([trick] if trick else []))
    except Exception:
        traceback.print_exc()
        os._exit(1)
