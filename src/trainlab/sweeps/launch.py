"""A sweep, from Hydra's list of overrides to a directory for each point with all its results."""

from __future__ import annotations

import functools
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainlab.atomic import write_whole
from trainlab.commit import commit
from trainlab.config import check
from trainlab.errors import RESUME_ME, InputError
from trainlab.run_directory import only_one, read_results
from trainlab.sweeps import point as points
from trainlab.sweeps.display import Display
from trainlab.sweeps.names import point_name, swept_keys
from trainlab.sweeps.point import FAILED, FINISHED, INTERRUPTED, NEW, Point
from trainlab.sweeps.pool import Job, make_room, run_jobs

SWEEP = "sweep.json"

# Runs the jobs that are not finished, calling what it is given whenever something may have changed; returns the
# signal that stopped it, or None.
Runner = Callable[[Callable[[], None]], int | None]


class Settings(BaseModel):
    """What every launcher has; the YAML files of conf/hydra/launcher explain the options."""

    model_config = ConfigDict(extra="forbid", strict=True)
    rerun: bool = False

    def plan(self, jobs: Sequence[Job]) -> tuple[int, Runner]:
        """How many at a time, and what runs them. Raises InputError where the machine has no room for that."""
        raise NotImplementedError


class Processes(Settings):
    """hydra/launcher=processes: on this machine."""

    n_jobs: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    gpus_per_job: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"

    def plan(self, jobs: Sequence[Job]) -> tuple[int, Runner]:
        trainers = [job.config.trainer for job in jobs]
        room = make_room(
            self.n_jobs,
            self.gpus_per_job,
            points=len(jobs),
            devices=max(trainer.devices for trainer in trainers),
            accelerator=trainers[0].accelerator,
        )
        return len(room.slots), functools.partial(run_jobs, jobs, room.slots, room.threads)


Kind = TypeVar("Kind", bound=Settings)


def check_settings(kind: type[Kind], values: Mapping[str, Any]) -> Kind:
    """Raises InputError for an option that is not there or has a wrong value."""
    try:
        return kind(**values)
    except ValidationError as problems:
        problem = problems.errors()[0]
        key = f"hydra.launcher.{problem['loc'][0]}"
        if problem["type"] == "extra_forbidden":
            raise InputError(f"there is no option {key}; there are {', '.join(kind.model_fields)}.") from None
        same = [p["msg"] for p in problems.errors() if p["loc"][0] == problem["loc"][0]]  # of each kind that it can be
        said = [message.removeprefix("Input should be ") for message in same]
        raise InputError(f"{key}={problem['input']} cannot be used: it should be {' or '.join(said)}.") from None


class PointReturn(JobReturn):
    """What a sweeper gets for a point: its value; for one that did not finish not-a-number, or an exception."""

    def __init__(self, job: Job, overrides: Sequence[str], raises: bool) -> None:
        results = read_results(job.folder) if job.status.state == FINISHED else None
        super().__init__(
            overrides=list(overrides),
            cfg=job.config,
            working_dir=str(job.folder),
            status=JobStatus.COMPLETED if results else JobStatus.FAILED,
            _return_value=results["best"] if results else float("nan"),
        )
        self.error = f"{job.name}: {job.status.error or job.status.state}" if raises and not results else None

    @property  # type: ignore[misc]
    def return_value(self) -> Any:
        if self.error is not None:
            raise HydraException(self.error)
        return self._return_value


UNFINISHED: list[Job] = []  # points of this process's sweep that did not finish; train.py's exit status


class Sweep:
    """One command's sweep; a sweeper like Optuna's launches it in several batches."""

    def __init__(self, context: HydraContext, config: DictConfig, settings: Settings) -> None:
        self.context, self.config, self.settings = context, config, settings
        self.folder = Path(config.hydra.sweep.dir).resolve()
        self.keys = swept_keys(config)
        self.commit = commit()
        self.jobs: list[Job] = []
        self.is_basic = config.hydra.sweeper._target_.endswith("BasicSweeper")

    def launch(self, batch: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run the points of `batch`. Raises InputError for a configuration that is wrong, before any is run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with only_one(self.folder, or_else=f"this sweep is running already, in {self.folder}; wait for it to end."):
            prepared = [self.prepare(list(overrides), first + index) for index, overrides in enumerate(batch)]
            names = [job.name for job, _, _ in prepared]
            prepared = list({job.name: (job, point, folder) for job, point, folder in prepared}.values())
            jobs = [job for job, _, _ in prepared]  # a point that is named twice runs once
            for _, point, folder in prepared:
                folder.mkdir(parents=True, exist_ok=True)
                point.write(folder)
            self.jobs += jobs
            described = {"overrides": list(self.config.hydra.overrides.task), "swept": self.keys}
            write_whole(
                self.folder / SWEEP,
                json.dumps({**described, "points": {job.name: job.swept for job in self.jobs}}, indent=1) + "\n",
            )
            at_a_time, run = self.settings.plan(jobs)
            with Display(self.folder, jobs, at_a_time) as display:
                stopped = run(display.look)
        display.summary(stopped)
        UNFINISHED.extend(job for job in jobs if job.status.state != FINISHED)
        found = {job.name: job for job in jobs}
        if stopped is not None:
            sys.exit(128 + stopped if stopped == signal.SIGINT else RESUME_ME)
        return [
            PointReturn(job, overrides, raises=not self.is_basic)
            for job, overrides in zip((found[name] for name in names), batch, strict=True)
        ]

    def prepare(self, overrides: list[str], number: int) -> tuple[Job, Point, Path]:
        """Compose and check a point, find out what its directory holds, and say what is to be said about that."""
        config = self.context.config_loader.load_sweep_config(self.config, overrides)
        mine = filter_overrides(overrides)
        choices = config.hydra.runtime.choices
        swept = {key: choices[key] if key in choices else OmegaConf.select(config, key) for key in self.keys}
        name = point_name(swept, mine)
        folder = self.folder / name
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = name, number
            config.hydra.sweep.dir, config.hydra.sweep.subdir = str(self.folder), name
            if config.ckpt is None or points.own_checkpoint(folder):
                config.ckpt = "auto"
        plain = OmegaConf.to_container(
            OmegaConf.masked_copy(config, [str(k) for k in config if k != "hydra"]), resolve=True
        )
        assert isinstance(plain, dict)
        check(plain)  # type: ignore[arg-type]
        point = Point(self.folder.name, swept, mine, plain, self.commit)  # type: ignore[arg-type]
        job = Job(name, folder, swept, mine, config, self.context)
        job.status = self.look_at(folder, point)
        return job, point, folder

    def look_at(self, folder: Path, point: Point) -> points.Status:
        """What is there already: finished, interrupted (it will go on) or new. Moves away what is to be run anew."""
        status, before = points.state_of(folder), points.read_point(folder)
        why = ""
        if status.state in (FINISHED, INTERRUPTED) and before is not None:
            changes = point.differences(before)
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
            with only_one(folder, or_else=f"another command is running in {folder}; wait for it to end."):
                away = points.set_aside(folder)
            print(f"{folder.name}: runs anew, because {why}; what was there is in {away.parent.name}/{away.name}.")
            return points.Status(NEW)
        return status


def _short(commit: str | None) -> str:
    return "none" if commit is None else commit[:7] + commit[40:]
