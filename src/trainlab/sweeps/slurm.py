"""Points of a sweep as jobs of a SLURM cluster, through submitit: a task on each machine, which runs train.py."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from trainlab.errors import RESUME_ME, InputError
from trainlab.recording.run_directory import own_checkpoint
from trainlab.survival.signals import noted
from trainlab.sweeps.launch import Plan, Settings
from trainlab.sweeps.names import typed
from trainlab.sweeps.point import FINISHED, INTERRUPTED, LOG, Status
from trainlab.sweeps.pool import RUNNING, Job, end

LOOK_SECONDS = 1.0
SAVE_SECONDS = 90.0  # for a run that was asked to stop


class PointJob:
    """What a SLURM job runs on each of its machines: the point's own command, its output in the point's log.

    nodes: machines that the point needs; further ones do nothing. threads: see `Point`. submitit pickles it, and
    calls `checkpoint` when SLURM says that the time is up.
    """

    def __init__(self, folder: Path, overrides: Sequence[str], nodes: int, threads: int) -> None:
        self.folder, self.overrides, self.nodes, self.threads = folder, list(overrides), nodes, threads
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """The exit status of the run."""
        import submitit

        job = submitit.JobEnvironment()
        if job.node >= self.nodes:
            return 0
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        if self.nodes > 1:
            meet = submitit.helpers.TorchDistributedEnvironment()
            environment |= {"MASTER_ADDR": meet.master_addr, "MASTER_PORT": str(meet.master_port)}
            environment |= {"NODE_RANK": str(job.node)}
        named = any(o.startswith("ckpt=") for o in self.overrides)  # to begin from; once begun it goes on with its own
        own = [
            f"hydra.run.dir={typed(str(self.folder))}",
            *([] if named and not own_checkpoint(self.folder) else ["ckpt=auto"]),
        ]
        with open(self.folder / LOG, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trainlab", *self.overrides, *own],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
            status = self.process.wait()
        self.process = None
        return status

    def checkpoint(self) -> Any:
        """Let the run save; what is queued again goes on from there."""
        import submitit

        if self.process is not None:
            self.process.send_signal(signal.SIGUSR1)
            deadline = time.monotonic() + SAVE_SECONDS
            while not has_ended(self.process.pid) and time.monotonic() < deadline:
                time.sleep(0.1)
        return submitit.helpers.DelayedSubmission(PointJob(self.folder, self.overrides, self.nodes, self.threads))


class Cluster(Settings):
    """hydra/launcher=slurm: the points are jobs of an array, submitted by submitit."""

    cluster: Literal["slurm", "local"] = "slurm"
    n_jobs: Annotated[int, Field(ge=1)] = 64
    timeout_min: Annotated[int, Field(ge=1)] = 240
    requeue: Annotated[int, Field(ge=0)] = 100
    signal_delay_s: Annotated[int, Field(ge=1)] = 120
    cpus_per_task: Annotated[int, Field(ge=1)] = 8
    gpus_per_node: Annotated[int, Field(ge=0)] | None = None
    mem_gb: Annotated[float, Field(gt=0)] | None = None
    partition: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)

    def plan(self, jobs: Sequence[Job]) -> Plan:
        """A point's threads are those of its machine's CPUs, also where SLURM would give it more."""
        at_a_time = min(self.n_jobs, len(jobs))
        return Plan(lambda job: self.cpus_per_task, functools.partial(self.run, jobs), at_a_time=at_a_time)

    def run(self, jobs: Sequence[Job], look: Callable[[], None]) -> int | None:
        """Submit the jobs that are not finished and wait for them; Ctrl-C cancels them, and what they saved stays."""
        waiting = [job for job in jobs if job.status.state != FINISHED]
        if not waiting:
            return None
        executor = self.executor(waiting)
        with noted() as asked:
            with executor.batch():
                submitted = [(job, executor.submit(self.point(job))) for job in waiting]
            started = time.monotonic()
            for job, _ in submitted:
                job.resumed = job.status.state == INTERRUPTED
                job.status, job.ran = Status(RUNNING), True
            running = list(submitted)
            while running and not asked:
                for job, there in list(running):
                    if there.done():
                        end(job, exit_status(there), time.monotonic() - started)
                        running.remove((job, there))
                look()
                time.sleep(LOOK_SECONDS)
            for job, there in running:
                there.cancel()
                end(job, RESUME_ME, time.monotonic() - started)
        return asked[0] if asked else None

    def point(self, job: Job) -> PointJob:
        """What is pickled into the cluster's job that runs this point."""
        return PointJob(job.folder, job.overrides, job.composed.trainer.nodes, job.threads or self.cpus_per_task)

    def executor(self, jobs: Sequence[Job]) -> Any:
        """submitit's executor for one array of all jobs, each as large as the largest needs: in arrays of their own
        there would be n_jobs of each size at a time. Raises InputError where submitit or SLURM is not there.
        """
        try:
            import submitit
        except ModuleNotFoundError as error:
            raise InputError("hydra/launcher=slurm needs submitit: pip install -e '.[slurm]'.") from error
        trainers = [job.composed.trainer for job in jobs]
        sweep = jobs[0].folder.parent
        gpus = self.gpus_per_node
        if gpus is None:
            on_gpus = [] if self.cluster == "local" else [t.devices for t in trainers if t.accelerator != "cpu"]
            gpus = max(on_gpus, default=0)
        try:
            executor = submitit.AutoExecutor(sweep / "slurm", cluster=self.cluster, slurm_max_num_timeout=self.requeue)
        except RuntimeError as error:
            raise InputError(
                f"hydra/launcher=slurm finds no SLURM here ({str(error).splitlines()[0]})",
                hint="run it on the cluster, or try it with hydra.launcher.cluster=local",
            ) from error
        executor.update_parameters(
            name=sweep.name,
            timeout_min=self.timeout_min,
            tasks_per_node=1,
            nodes=max(trainer.nodes for trainer in trainers),
            cpus_per_task=self.cpus_per_task,
            gpus_per_node=gpus,
            **({"mem_gb": self.mem_gb} if self.mem_gb else {}),
            **({"slurm_partition": self.partition} if self.partition else {}),
            slurm_array_parallelism=self.n_jobs,
            slurm_signal_delay_s=self.signal_delay_s,
            slurm_additional_parameters=self.parameters,
        )
        return executor


def has_ended(pid: int) -> bool:
    """Whether a child that `Popen.wait` is waiting for has ended; inside a signal handler `Popen.poll` would not see
    it.
    """
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def exit_status(there: Any) -> int:
    """The exit status of a job that is over; a job that left no result was killed."""
    try:
        statuses = there.results()
    except Exception:  # submitit has several for a job that was cancelled, timed out, or vanished
        return -signal.SIGKILL
    return next((status for status in statuses if status), 0)
