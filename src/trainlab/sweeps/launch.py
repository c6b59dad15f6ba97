"""A sweep, from Hydra's list of overrides to a directory for each point with all its results."""

from __future__ import annotations

import functools
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, Field

from trainlab.configuration.points import Composer
from trainlab.configuration.schema import check
from trainlab.errors import RESUME_ME, InputError
from trainlab.recording.commit import commit
from trainlab.recording.point import POINT, Point, load_point, read_point
from trainlab.recording.run_directory import best_of, read_results
from trainlab.survival.atomic import atomic_write, atomic_write_all
from trainlab.survival.lock import directory_lock
from trainlab.survival.signals import outlast_terminal
from trainlab.sweeps import point as points
from trainlab.sweeps.display import Display
from trainlab.sweeps.names import point_name, swept_keys, task_overrides
from trainlab.sweeps.point import FAILED, FINISHED, INTERRUPTED, NEW
from trainlab.sweeps.pool import Job, allocate, run_jobs

SWEEP = "sweep.json"


@dataclass(frozen=True)
class Plan:
    """How the points of a sweep are to be run. threads: CPU threads of each, unless it has its own number. run: runs
    the jobs that are not finished, calls its argument whenever something may have changed, and returns the signal that
    stopped it, or None. at_a_time: how many points. has_begun: whether a point that has left nothing in its directory
    yet goes on all the same. words: how they are run, said before it begins, where it is not `at_a_time`.
    """

    threads: Callable[[Job], int]
    run: Callable[[Callable[[], None]], int | None]
    at_a_time: int = 1
    has_begun: Callable[[Job], bool] = lambda job: False
    words: Callable[[], str] | None = None

    def said(self) -> str:
        """How the points are run, in words."""
        return self.words() if self.words is not None else f"{self.at_a_time} at a time"


class Settings(BaseModel):
    """The options that every launcher has; the YAML files of conf/hydra/launcher explain them."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    rerun: bool = False

    def plan(self, jobs: Sequence[Job]) -> Plan:
        """How these jobs are to be run. Raises InputError where the machine cannot hold what is asked for."""
        raise NotImplementedError


class Processes(Settings):
    """hydra/launcher=processes: the points are processes of this machine."""

    n_jobs: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    gpus_per_job: Literal["auto"] | Annotated[float, Field(ge=0.01)] = "auto"

    def plan(self, jobs: Sequence[Job]) -> Plan:
        """See `Settings.plan`."""
        trainers = [job.composed.trainer for job in jobs]
        asked = {trainer.accelerator for trainer in trainers}
        resources = allocate(
            self.n_jobs,
            self.gpus_per_job,
            points=len(jobs),
            devices=max(trainer.devices for trainer in trainers),
            accelerator=next(name for name in ("gpu", "auto", "cpu") if name in asked),
        )
        places = resources.environments
        return Plan(lambda job: resources.threads, functools.partial(run_jobs, jobs, places), at_a_time=len(places))


class PointReturn(JobReturn):
    """What a sweeper gets for a point: its value; for a point that did not finish not-a-number, or an exception."""

    def __init__(self, job: Job, overrides: Sequence[str], raises: bool) -> None:
        results = read_results(job.folder) if job.status.state == FINISHED else None
        super().__init__(
            overrides=list(overrides),
            working_dir=str(job.folder),
            status=JobStatus.COMPLETED if results else JobStatus.FAILED,
            _return_value=best_of(results) if results else float("nan"),
        )
        self.error = f"{job.name}: {job.status.error or job.status.state}" if raises and not results else None

    @property  # type: ignore[misc]
    def return_value(self) -> Any:
        """The least `trainer.monitor` of the point. Raises HydraException where it did not finish, if asked to."""
        if self.error is not None:
            raise HydraException(self.error)
        return self._return_value


UNFINISHED: list[Job] = []  # points of this process's sweep that did not finish; train.py's exit status


class Sweep:
    """The sweep of one command; a sweeper like Optuna's launches it in several batches."""

    def __init__(self, context: HydraContext, config: DictConfig, settings: Settings) -> None:
        """Raises InputError for values that the sweeper cannot go through."""
        self.context, self.config, self.settings = context, config, settings
        self.folder = Path(config.hydra.sweep.dir).resolve()
        self.keys = swept_keys(config)
        self.commit = commit()
        self.jobs: list[Job] = []
        self.composer = Composer(functools.partial(context.config_loader.load_sweep_config, config))
        self.is_basic = config.hydra.sweeper._target_.endswith(("BasicSweeper", "ListedSweeper"))
        for override in OverridesParser.create().parse_overrides(task_overrides(config)):
            if self.is_basic and override.is_interval_sweep():
                raise InputError(
                    f"{override.input_line} is a range to draw values from, which hydra/sweeper=optuna does",
                    hint="or list the values",
                )

    def launch(self, batch: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run the points of `batch`, each a list of overrides; the first has the number `first`. Raises InputError
        for a configuration that is wrong, before any point is run.
        """
        outlast_terminal()
        self.folder.mkdir(parents=True, exist_ok=True)
        with directory_lock(
            self.folder, or_else=f"this sweep is running already, in {self.folder}; wait for it to end."
        ):
            named: dict[str, tuple[Job, Point]] = {}  # a point that is named twice runs once
            names = []
            for index, overrides in enumerate(batch):
                job, point = self.prepare(list(overrides), first + index)
                same, _ = named.setdefault(job.name, (job, point))
                if sorted(same.overrides) != sorted(job.overrides):
                    raise InputError(
                        f"the points {' '.join(same.overrides)} and {' '.join(job.overrides)} would both be "
                        f"called {job.name}",
                        hint="run them as sweeps of their own, each with a hydra.sweep.dir=…",
                    )
                names.append(job.name)
            jobs = [job for job, _ in named.values()]
            plan = self.settings.plan(jobs)
            texts = {}
            for job, point in named.values():
                texts[job.folder / POINT] = self.settle(job, point, plan.threads(job), begun=plan.has_begun(job))
            self.write_points(texts)
            self.jobs += jobs
            self.write()
            with Display(self.folder, jobs, plan.said()) as display:
                stopped = plan.run(display.look)
        display.summary(stopped)
        UNFINISHED.extend(job for job in jobs if job.status.state != FINISHED)
        found = {job.name: job for job in jobs}
        if stopped is not None:
            sys.exit(128 + stopped if stopped == signal.SIGINT else RESUME_ME)
        return [
            PointReturn(job, overrides, raises=not self.is_basic)
            for job, overrides in zip((found[name] for name in names), batch, strict=True)
        ]

    def write(self) -> None:
        """Write sweep.json, which lists the points. Raises InputError where it cannot be written."""
        described = {"overrides": task_overrides(self.config), "swept": self.keys}
        listed = {job.name: job.swept for job in self.jobs}
        try:
            atomic_write(self.folder / SWEEP, json.dumps({**described, "points": listed}, indent=1) + "\n")
        except OSError as error:
            raise InputError(f"{self.folder / SWEEP} cannot be written ({error.strerror}).") from error

    def prepare(self, overrides: list[str], number: int) -> tuple[Job, Point]:
        """Compose and check the configuration of one point. Raises InputError."""
        composed = self.composer.compose(overrides)
        check(composed.plain)
        mine = list(filter_overrides(overrides))
        swept = {key: composed.value(key) for key in self.keys}
        name = point_name(swept, mine)
        point = Point(self.folder.name, swept, mine, composed.plain, self.commit)
        return Job(name, self.folder / name, swept, mine, composed, number, self.context), point

    def settle(self, job: Job, point: Point, threads: int, *, begun: bool = False) -> bytes:
        """Find out what the point's directory holds; returns what is to be written there as point.json. begun: see
        `Plan.has_begun`.
        """
        job.status = self.inspect(job.folder, point)
        if begun and job.status.state == NEW and not self.settings.rerun:
            job.status = points.Status(INTERRUPTED)
        before = read_point(job.folder)
        if job.status.state in (FINISHED, INTERRUPTED) and before is not None and before.threads is not None:
            job.threads = before.threads
        elif job.status.state != FINISHED:
            job.threads = threads
        if job.composed.plain["ckpt"] is None or points.own_checkpoint(job.folder):
            job.ckpt = "auto"
        return replace(point, threads=job.threads).text().encode()

    def write_points(self, texts: Mapping[Path, bytes]) -> None:
        """Write the points' point.json. Raises InputError where that cannot be done."""
        for file in texts:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"{file.parent} cannot be written ({error.strerror}).") from error
        try:
            atomic_write_all(texts)
        except OSError as error:
            raise InputError(f"{error.filename or self.folder} cannot be written ({error.strerror}).") from error

    def inspect(self, folder: Path, point: Point) -> points.Status:
        """How far the point in `folder` is: finished, interrupted (it will go on) or new. A directory that is to be
        run anew is moved away.
        """
        status, before, why = points.state_of(folder), None, ""
        try:
            before = load_point(folder)
        except InputError:
            why = f"its {POINT} is damaged"
        if status.state in (FINISHED, INTERRUPTED) and before is not None:
            changes = points.differences(point, before)
            if changes:
                more = f" and {len(changes) - 2} more" if len(changes) > 2 else ""
                why = f"its configuration has changed ({', '.join(changes[:2])}{more})"
            elif before.commit != point.commit:
                verb = "kept as it is" if status.state == FINISHED else "going on"
                print(
                    f"{folder.name}: the code has changed since ({_short(before.commit)} → {_short(point.commit)}); "
                    f"{verb}. hydra.launcher.rerun=true runs it again."
                )
        if self.settings.rerun and status.state != NEW:
            why = "hydra.launcher.rerun=true"
        if status.state == FAILED:
            why = "it failed"
        if why:
            with directory_lock(folder, or_else=f"another command is running in {folder}; wait for it to end."):
                away = points.set_aside(folder)
            print(f"{folder.name}: runs anew, because {why}; what was there is in {away.parent.name}/{away.name}.")
            return points.Status(NEW)
        return status


def _short(commit: str | None) -> str:
    return "none" if commit is None else commit[:7] + commit[40:]
