"""Runs the points of a sweep, several at a time, each in a process of its own, and watches them."""

from __future__ import annotations

import atexit
import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Literal

from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict

from trainlab.configuration.points import Composed
from trainlab.errors import RESUME_ME, InputError
from trainlab.recording.run_directory import read_results
from trainlab.runtime import room
from trainlab.runtime.room import free_memory
from trainlab.survival.signals import noted
from trainlab.sweeps.point import FAILED, FINISHED, INTERRUPTED, LOG, NEW, STATUS, Status

GRACE_SECONDS = 60.0  # for points to save when the sweep is stopped
LOOK_SECONDS = 0.25
MEMORY_OF_A_RUN = 2e9  # bytes, a generous guess
RUNNING: Literal["running"] = "running"
PRELOADED = ["trainlab.sweeps.child"]  # by the parent of all points
UNKNOWN = 255  # what multiprocessing says when the forkserver has died; no point ends so by itself


def run_point(*arguments: Any) -> None:
    """Run a point; called in its process, once the imports are there (this module itself must load without torch)."""
    from trainlab.sweeps import child

    child.run_point(*arguments)


@functools.cache
def warm_up() -> None:
    """Start the process from which all points are forked. It imports torch while the sweep is being composed, and is
    killed at the end of this process: where a mistake ends it at once, nothing is left importing.
    """
    method = multiprocessing.get_context("forkserver")
    method.set_forkserver_preload(PRELOADED)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which it inherits: Ctrl-C is for this process to answer
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)
    atexit.register(_kill, forkserver._forkserver._forkserver_pid)  # type: ignore[attr-defined]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True)
class PointProgress:
    """How far a point is. error: of the validation, None where there was none. left: seconds, None where unknown."""

    epoch: int
    error: float | None = None
    left: float | None = None


@dataclass(eq=False)
class Job:
    """A point of a sweep with its directory and state.

    number: of the point in the sweep. ckpt: what it is to go on from, where that is not what its configuration says.
    threads: for its processes together. done: how far it is, where somebody knows that before the files say it. log:
    what its process said, where that is not in its directory.
    """

    name: str
    folder: Path
    swept: Mapping[str, Any]
    overrides: Sequence[str]
    composed: Composed
    number: int
    context: HydraContext
    status: Status = field(default_factory=lambda: Status(NEW))
    ckpt: str | None = None
    threads: int | None = None
    done: PointProgress | None = None
    log: Path | None = None
    resumed: bool = False
    ran: bool = False  # by this command
    process: Any = None
    slot: int = -1
    started: float = 0.0

    def config(self) -> DictConfig:
        """Its configuration for a run, Hydra's own part included."""
        config = self.composed.config()
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = self.name, self.number
            config.hydra.sweep.dir, config.hydra.sweep.subdir = str(self.folder.parent), self.name
            config.ckpt = self.ckpt or config.ckpt
        return config


def run_jobs(jobs: Sequence[Job], environments: Sequence[Mapping[str, str]], look: Callable[[], None]) -> int | None:
    """Run the jobs that are not finished, one in each environment at a time; returns the signal that stopped it, or
    None.

    environments: one for each point that runs at a time (CUDA_VISIBLE_DEVICES). look: called whenever something may
    have changed.
    """
    method = multiprocessing.get_context("forkserver")
    waiting = [job for job in jobs if job.status.state != FINISHED]
    free = list(range(len(environments)))
    running: list[Job] = []
    killed_at = float("inf")

    with noted() as asked:
        while running or (waiting and not asked):
            while waiting and free and not asked:
                job = waiting.pop(0)
                job.slot = free.pop(0)
                _start(job, method, environments[job.slot])
                running.append(job)
                look()
            if asked and killed_at == float("inf"):
                killed_at = time.monotonic() + GRACE_SECONDS
                _signal(running, signal.SIGTERM)
            if time.monotonic() > killed_at or asked.count(signal.SIGINT) > 1:
                _signal(running, signal.SIGKILL)
            wait([job.process.sentinel for job in running], timeout=LOOK_SECONDS)
            for job in [job for job in running if job.process.exitcode is not None]:
                end(job, job.process.exitcode, time.monotonic() - job.started)
                running.remove(job)
                free.insert(0, job.slot)
            look()
    return asked[0] if asked else None


def _start(job: Job, method: Any, environment: Mapping[str, str]) -> None:
    job.resumed = job.status.state == INTERRUPTED
    job.status, job.ran, job.started = Status(RUNNING), True, time.monotonic()
    (job.folder / STATUS).unlink(missing_ok=True)
    arguments = (job.config(), job.context, job.folder / LOG, job.threads, dict(environment))
    job.process = method.Process(target=run_point, args=arguments)
    job.process.start()


def _signal(jobs: Sequence[Job], number: int) -> None:
    for job in jobs:
        if job.process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(job.process.pid, number)


def end(job: Job, code: int, seconds: float) -> None:
    """Write down how a point ended. code: its exit status, or −n when signal n killed it."""
    if code == 0 and read_results(job.folder) is not None:
        job.status = Status(FINISHED, seconds=seconds)
    else:
        stopped, error = how_it_ended(code, job.folder / LOG)
        job.status = Status(INTERRUPTED if stopped else FAILED, error, seconds)
    try:
        job.status.write(job.folder)
    except OSError as error:  # a full disk must not end the other points
        print(f"{job.folder}: {error.strerror}", file=sys.stderr)


def how_it_ended(code: int, log: Path) -> tuple[bool, str]:
    """Of a process that did not come to its end: whether it was stopped from outside, and why, in words."""
    if code == UNKNOWN:
        return True, "killed with the parent of all points"
    if code < 0:
        return True, f"killed ({signal.Signals(-code).name})"
    return code in (RESUME_ME, 128 + signal.SIGINT), last_line(log)


def last_line(log: Path) -> str:
    """The last error in a log, or its last line where there is none."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "it left no log"
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it said nothing"])[-1]


@dataclass(frozen=True)
class Resources:
    """What the points of a sweep share: as many run at a time as there are `environments`, each with one of them.

    environments: variables such as CUDA_VISIBLE_DEVICES. threads: CPU threads of each point.
    """

    environments: list[dict[str, str]]
    threads: int


def allocate(n_jobs: int | str, gpus_per_job: float | str, *, points: int, devices: int, accelerator: str) -> Resources:
    """Share GPUs, cores and memory out among the points. Raises InputError for more than there is.

    n_jobs: how many points at a time; "auto": one for each share of the GPUs or, without GPUs, one for each `devices`
    cores, as far as the memory goes. gpus_per_job: "auto" is `devices`; below 1, several points share a GPU. A number
    that the cores or the memory cannot hold is refused, however few points there are.
    """
    cores = room.cores()
    gpus = [] if accelerator == "cpu" else room.visible_gpus()
    if not gpus:
        if accelerator == "gpu":
            raise InputError("trainer=gpu finds no CUDA device on this machine", hint="use trainer=cpu or trainer=auto")
        most = max(1, int(min(points, cores // devices, free_memory() / (MEMORY_OF_A_RUN * devices))))
        jobs = most if n_jobs == "auto" else int(n_jobs)
        if n_jobs != "auto":
            refuse_more_than_there_is(jobs, devices, cores)
        return Resources([{} for _ in range(jobs)], max(1, cores // jobs))
    share = devices if gpus_per_job == "auto" else float(gpus_per_job)
    if share < 1:
        places = [[gpu] for gpu in gpus for _ in range(int(1 / share))]
    else:
        places = [gpus[i : i + int(share)] for i in range(0, len(gpus) - int(share) + 1, int(share))]
    jobs = min(points, len(places)) if n_jobs == "auto" else int(n_jobs)
    if jobs > len(places) or not places:
        raise InputError(
            f"hydra.launcher.n_jobs={n_jobs} with {share:g} GPUs each is more than the {len(gpus)} GPUs there are",
            option="hydra.launcher.n_jobs",
            value=n_jobs,
            hint="use fewer, or hydra.launcher.gpus_per_job=0.5 to let two share one",
        )
    if n_jobs != "auto" or gpus_per_job != "auto":
        refuse_more_than_there_is(jobs, devices, cores)
    return Resources([{"CUDA_VISIBLE_DEVICES": ",".join(place)} for place in places[:jobs]], max(1, cores // jobs))


def refuse_more_than_there_is(jobs: int, devices: int, cores: int) -> None:
    """Raises InputError for more points at a time than this machine can hold, with the number that it can."""
    by_cores, memory = room.PROCESSES_OF_A_CORE * cores // devices, free_memory()
    most = max(1, int(min(by_cores, memory / (room.MEMORY_OF_A_PROCESS * devices))))
    if jobs > most:
        there = f"{cores} cores" if by_cores == most else f"{memory / 1e9:.1f} GB of free memory"
        each = f", each of {devices} processes," if devices > 1 else ""
        raise InputError(
            f"{jobs} points at a time{each} are more than this machine with its {there} can hold",
            hint=f"use hydra.launcher.n_jobs={most} at most, or auto",
        )
