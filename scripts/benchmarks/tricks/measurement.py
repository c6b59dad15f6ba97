"""Measures each trick alone, with it and without it in turn, A B A B; and the table of what was found."""

from __future__ import annotations

import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from benchmarks.growth import write_sparse_set
from benchmarks.interleaved import time_interleaved
from benchmarks.tricks.catalogue import (
    BLOCKS,
    CLOCK,
    COMMAND_TRICKS,
    CPU,
    MEMORY,
    STEP_TRICKS,
    TEST_PARENT,
    TRAINING,
    CommandTrick,
    StepTrick,
)
from benchmarks.workloads import OF_TRICKS, WORKLOADS, Workload
from trainlab.errors import RunError
from trainlab.recording.commit import REPOSITORY

TIMED = {work.name: work for work in (*WORKLOADS, *OF_TRICKS)}
PICTURES = 16_000  # of the packed set whose pages are counted: 0.8 GB
TEST_COMMAND = ("train.py", "model=perceptron", "data=digits", "trainer.max_epochs=1", "logger=none")
TEST_ROUNDS = (2, 6)


@dataclass(frozen=True)
class Gain:
    """What one trick buys. having, lacking: a value for each round, with it and without it; less is better."""

    trick: str
    what: str
    work: str
    quantity: str
    having: list[float]
    lacking: list[float]

    @property
    def ratios(self) -> list[float]:
        """Without against with it, round by round: above 1 it buys something."""
        return [b / a for a, b in zip(self.having, self.lacking, strict=True)]

    @property
    def interval(self) -> tuple[float, float]:
        """What holds the median of the ratios with 95 % or more, however these are distributed: the sign test's."""
        ordered, left_out = sorted(self.ratios), 0
        count = len(ordered)
        while 2 * sum(math.comb(count, k) for k in range(left_out + 1)) / 2**count <= 0.05:
            left_out += 1
        cut = max(0, left_out - 1)
        return ordered[cut], ordered[count - 1 - cut]


def measure_tricks(
    names: Sequence[str],
    *,
    quick: bool,
    folder: Path,
    data_for: Callable[[Workload], list[str]],
    on_progress: Callable[[str], None],
) -> list[Gain]:
    """names: of the switches; on_progress is told of each. Raises RunError where a side or a command fails."""
    gains: list[Gain] = []
    for step_trick in (trick for trick in STEP_TRICKS if trick.name in names):
        for work in step_trick.works:
            gains += of_a_step(step_trick, TIMED[work], not quick, folder, data_for)
        on_progress(step_trick.name)
    for trick in (trick for trick in COMMAND_TRICKS if trick.name in names):
        gains += of_a_command(trick, trick.rounds[not quick])
        on_progress(trick.name)
    if TEST_PARENT in names:
        gains += of_the_tests(TEST_ROUNDS[not quick])
        on_progress(TEST_PARENT)
    return gains


def of_a_step(
    trick: StepTrick, work: Workload, whole: bool, folder: Path, data_for: Callable[[Workload], list[str]]
) -> list[Gain]:
    """CPU time and time of a step."""
    steps, rounds = BLOCKS[work.name][whole]
    having, lacking = time_interleaved(
        replace(work, name=f"{work.name}_{trick.name}", sides=(trick.beside, trick.name)),
        [*work.overrides, *data_for(work)],
        steps=steps,
        rounds=rounds,
        folder=folder,
        on_progress=lambda _: None,
        cold=False,
    )
    words = " ".join(work.overrides)
    return [
        Gain(trick.name, trick.what, words, "CPU ms a step", having.cpu_ms, lacking.cpu_ms),
        Gain(trick.name, trick.what, words, "ms a step", having.step_ms, lacking.step_ms),
    ]


def of_a_command(trick: CommandTrick, rounds: int) -> list[Gain]:
    """The quantities of whole commands, each in a new interpreter; a first round does not count."""
    found: dict[str, list[dict[str, float]]] = {"as_it_is": [], trick.name: []}
    with tempfile.TemporaryDirectory() as name, busy_cores(trick.busy):
        packed = Path(name) / "packed"
        if "{packed}" in trick.words:
            write_sparse_set(packed, PICTURES)
        for number in range(rounds + 1):
            for switch, values in found.items():
                folder = Path(name) / f"{switch}_{number}"
                words = trick.words.format(folder=folder, packed=packed).split()
                values.append(measured(switch, words, folder))
    command = "python train.py " + " ".join(word for word in trick.words.split() if "{folder}" not in word)
    having, lacking = (values[1:] for values in found.values())
    return [
        Gain(trick.name, trick.what, command, q, [v[q] for v in having], [v[q] for v in lacking])
        for q in trick.quantities
    ]


def measured(switch: str, words: Sequence[str], folder: Path) -> dict[str, float]:
    """All quantities of one command. Raises RunError where it fails."""
    paths = [str(REPOSITORY / "scripts"), str(REPOSITORY / "src")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "WANDB_SILENT": "true"}
    environment.pop("GOMP_SPINCOUNT", None)  # this process has set it
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.tricks.whole_command", switch, *words],
            env=environment,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        _, status, usage = os.wait4(process.pid, 0)
        values = {CLOCK: time.perf_counter() - began, CPU: usage.ru_utime + usage.ru_stime}
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RunError(f"a command failed with the switch {switch}: {output.read().strip().splitlines()[-1]}")
    results = folder / "run" / "results.json"
    if results.exists():
        of_the_run = json.loads(results.read_text())
        values |= {TRAINING: of_the_run["last/training_seconds"], MEMORY: of_the_run["peak_memory_mb"]}
    return values


def of_the_tests(rounds: int) -> list[Gain]:
    """A command as the tests start it: a fork of their warm parent against a new interpreter."""
    sys.path.insert(0, str(REPOSITORY / "tests"))
    from whole_runs import command

    values: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds + 1):
            for cold, of_these in values.items():
                began, cpu_began = time.perf_counter(), cpu_of_children()
                done = command(*TEST_COMMAND, f"hydra.run.dir={name}/{number}_{cold}", cold=cold)
                of_these.append((cpu_of_children() - cpu_began, time.perf_counter() - began))
                if done.returncode:
                    raise RunError(f"a command of the tests failed: {done.stderr.strip().splitlines()[-1]}")
    work = "whole_runs.command: " + " ".join(TEST_COMMAND)
    return [
        Gain(
            TEST_PARENT,
            "tests fork from a warm parent",
            work,
            quantity,
            [v[column] for v in values[False][1:]],
            [v[column] for v in values[True][1:]],
        )
        for column, quantity in enumerate((CPU, CLOCK))
    ]


@contextmanager
def busy_cores(wanted: bool) -> Iterator[None]:
    """Inside, another program computes on each core."""
    cores = len(os.sched_getaffinity(0)) if wanted else 0
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def cpu_of_children() -> float:
    """CPU seconds of the processes that this one has started, and of theirs, once these have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for task in Path("/proc/self/task").glob("*/children"):
        for child in task.read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(
                map(int, fields[11:15])
            )  # its own time in user and system mode, and that of its ended children
    return ended.ru_utime + ended.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def tricks_table(gains: Sequence[Gain]) -> Table:
    """A row for each quantity of each trick: medians with it and without it, and of their ratios."""
    table = Table(title="Each trick alone", title_justify="left")
    for heading in ("trick", "switch", "work", "quantity", "with", "without", "ratio", "95 % of it"):
        table.add_column(heading, justify="left" if heading in ("trick", "switch", "work", "quantity") else "right")
    for gain in gains:
        with_it, without = statistics.median(gain.having), statistics.median(gain.lacking)
        digits = 0 if with_it >= 1000 else 2
        table.add_row(
            gain.what,
            gain.trick,
            gain.work,
            gain.quantity,
            f"{with_it:,.{digits}f}",
            f"{without:,.{digits}f}",
            f"{statistics.median(gain.ratios):.2f} ×",
            "{:.2f} – {:.2f}".format(*gain.interval),
        )
    return table
