"""hydra/launcher=stacked: points whose networks have one shape are trained as one, the others by themselves."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, PositiveInt, TypeAdapter

from trainlab.errors import InputError, RunError
from trainlab.recording.run_directory import own_checkpoint, read_json, read_results
from trainlab.runtime import room
from trainlab.survival.atomic import atomic_write, atomic_write_all
from trainlab.survival.signals import noted
from trainlab.sweeps.launch import Plan, Processes
from trainlab.sweeps.names import digest
from trainlab.sweeps.point import FAILED, FINISHED, INTERRUPTED, STATUS, Status, state_of
from trainlab.sweeps.pool import GRACE_SECONDS, LOOK_SECONDS, RUNNING, Job, PointProgress, how_it_ended
from trainlab.sweeps.stacked.grouping import Grouping, fingerprint, group, said
from trainlab.sweeps.stacked.request import Message, PointTask, Request

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

FOLDER = "stacks"  # in the sweep's: what its stacks save of themselves while they train
BEGUN_ALONE = "its run by itself was begun before"


class Record(BaseModel):
    """stacks/NAME.json: which points a stack has, each with its configuration's fingerprint, and with how many CPU
    threads it computes, on which the last bits of its sums depend.
    """

    model_config = ConfigDict(strict=True)
    points: dict[str, str]
    threads: PositiveInt


RECORD = TypeAdapter(Record)


class Stacked(Processes):
    """Its options are those of hydra/launcher=processes, for the points that are run by themselves."""

    def plan(self, jobs: Sequence[Job]) -> Plan:
        """See `Settings.plan`."""
        folder = jobs[0].folder.parent / FOLDER
        prints = {job.name: fingerprint(job.composed.plain) for job in jobs}
        records = {} if self.rerun else records_in(folder)
        listed = threads_of(records.values(), prints)
        begun = threads_of([record for file, record in records.items() if saved(file).is_file()], prints)
        grouping = group([job.composed.plain for job in jobs])
        for indices in grouping.stacks:
            for index in [p for p in indices if jobs[p].name not in listed and was_begun(jobs[p].folder)]:
                indices.remove(index)
                grouping.alone[index] = BEGUN_ALONE
        grouping = Grouping([indices for indices in grouping.stacks if indices], grouping.alone)
        stacks = [[jobs[index] for index in indices] for indices in grouping.stacks]
        alone = {id(jobs[index]): jobs[index] for index in grouping.alone}
        by_itself = super().plan(list(alone.values())) if alone else None
        sweep = Stacks(folder, stacks, by_itself, prints)

        def threads(job: Job) -> int:
            return by_itself.threads(job) if by_itself and id(job) in alone else listed.get(job.name, room.cores())

        return Plan(
            threads,
            sweep.run,
            has_begun=lambda job: job.name in begun and id(job) not in alone,
            words=lambda: said(grouping, by_itself.at_a_time if by_itself else 0),
        )


def threads_of(records: Iterable[Record], fingerprints: Mapping[str, str]) -> dict[str, int]:
    """The points of these stacks, with the CPU threads of each. fingerprints: of the points as they are now."""
    return {
        name: record.threads
        for record in records
        for name, known in record.points.items()
        if fingerprints.get(name) == known
    }


def saved(record: Path) -> Path:
    """Where the stack of this record saves itself."""
    return record.with_suffix(".ckpt")


def was_begun(folder: Path) -> bool:
    """Whether a point has begun by itself and is not finished."""
    return own_checkpoint(folder) and read_results(folder) is None


def records_in(folder: Path) -> dict[Path, Record]:
    """The records of stacks that were begun and are not at their end."""
    found = {}
    for file in sorted(folder.glob("*.json")):
        with suppress(InputError):
            record = read_json(file, RECORD)
            if record is not None:
                found[file] = record
    return found


@dataclass(frozen=True)
class Stacks:
    """The points of a sweep: stacks, trained one after another, then the points that are run by themselves."""

    folder: Path
    stacks: list[list[Job]]
    by_itself: Plan | None
    fingerprints: dict[str, str]

    def run(self, look: Callable[[], None]) -> int | None:
        """See `Plan.run`."""
        with noted() as asked:
            for stack in self.stacks:
                by_threads: dict[int, list[Job]] = {}
                for job in stack:
                    if job.status.state != FINISHED:
                        by_threads.setdefault(job.threads or 1, []).append(job)
                for threads, jobs in by_threads.items():
                    if not asked:
                        self.train(jobs, threads, look, asked)
        self.clear()
        if asked or self.by_itself is None:
            return asked[0] if asked else None
        return self.by_itself.run(look)

    def train(self, jobs: list[Job], threads: int, look: Callable[[], None], asked: list[int]) -> None:
        """Train the jobs in a process of their own and follow it. asked: gets the signals that stop it."""
        for job in jobs:
            job.resumed = job.status.state == INTERRUPTED
        request = self.request(jobs, threads)
        request.log.unlink(missing_ok=True)
        for job in jobs:
            job.status, job.ran, job.started = Status(RUNNING), True, time.monotonic()
            (job.folder / STATUS).unlink(missing_ok=True)
        method = multiprocessing.get_context("forkserver")
        ours, theirs = method.Pipe(duplex=False)
        process = method.Process(target=run_stack, args=(request, theirs))
        process.start()
        theirs.close()
        watched = {job.name: job for job in jobs}
        killed_at = float("inf")
        while process.exitcode is None:
            wait([process.sentinel, ours], timeout=LOOK_SECONDS)
            receive(ours, watched)
            if asked and killed_at == float("inf"):
                killed_at = time.monotonic() + GRACE_SECONDS
                process.terminate()
            if time.monotonic() > killed_at or asked.count(signal.SIGINT) > 1:
                process.kill()
            look()
        receive(ours, watched)
        write_down(jobs, process.exitcode, request.log)
        look()

    def request(self, jobs: Sequence[Job], threads: int) -> Request:
        """What the stack's process is asked for, of which a record is written. Raises RunError where it cannot be."""
        points = {job.name: self.fingerprints[job.name] for job in jobs}
        name = digest([f"{point} {mark}" for point, mark in points.items()], 12)
        try:
            self.folder.mkdir(exist_ok=True)
            record = Record(points=points, threads=threads)
            atomic_write(self.folder / f"{name}.json", record.model_dump_json(indent=1) + "\n")
        except OSError as error:
            raise RunError(f"{self.folder} cannot be written ({error.strerror}).") from error
        tasks = [PointTask(job.name, job.folder, job.number, for_a_process(job)) for job in jobs]
        listed = [saved(file) for file, r in records_in(self.folder).items() if r.points.keys() & points]
        file = self.folder / f"{name}.ckpt"
        earlier, going_on = [file for file in listed if file.is_file()], [job.name for job in jobs if job.resumed]
        return Request(tasks, threads, {}, file.with_suffix(".log"), file, earlier, going_on, points)

    def clear(self) -> None:
        """Remove what the stacks have saved of points that have all ended."""
        sweep = self.folder.parent
        for file, record in records_in(self.folder).items():
            if all(state_of(sweep / name).state in (FINISHED, FAILED) for name in record.points):
                for suffix in (".ckpt", ".log", ".json"):
                    file.with_suffix(suffix).unlink(missing_ok=True)
        with suppress(OSError):  # it is not empty
            self.folder.rmdir()


def receive(stack: Connection, jobs: Mapping[str, Job]) -> None:
    """Take note of all that a stack has sent. jobs: its points, by their names."""
    with suppress(EOFError, ConnectionResetError):
        while stack.poll():
            message: Message = stack.recv()
            if message.text:
                print(message.text)
            for name in message.names:
                before = jobs[name].done
                error = message.errors.get(name, before.error if before else None)
                jobs[name].done = PointProgress(message.epoch, error, message.seconds_left)
            for name, status in message.ended.items():
                jobs[name].status = status


def write_down(jobs: Sequence[Job], code: int, log: Path) -> None:
    """Write down how the points ended of which the stack's process has written no end. code: its exit status."""
    left = [job for job in jobs if job.status.state == RUNNING]
    if not left:
        return
    stopped, error = how_it_ended(code, log)
    state = INTERRUPTED if stopped or code == RunError.status else FAILED
    for job in left:
        job.log = log
        finished = read_results(job.folder) is not None  # it had no time to tell
        job.status = Status(FINISHED) if finished else Status(state, error, time.monotonic() - job.started)
    texts = {job.folder / STATUS: job.status.text().encode() for job in left}
    try:
        atomic_write_all(texts)
    except OSError as problem:
        print(f"{problem.filename or log.parent}: {problem.strerror}", file=sys.stderr)


def for_a_process(job: Job) -> Any:
    """The job's configuration, to be sent to its process."""
    composed = job.composed.parted()
    if job.ckpt is None:
        return composed
    given = {"ckpt": job.ckpt}
    return replace(composed, unresolved=composed.unresolved | given, plain=composed.plain | given)


def run_stack(request: Request, launcher: Connection) -> None:
    """Train a stack and write its points; ends the process with a status as a run's. Called in its process, once the
    imports are there (this module itself must load without torch).
    """
    from trainlab.sweeps.child import run_to_its_end
    from trainlab.sweeps.stacked.child import work

    run_to_its_end(lambda: work(request, launcher), request.log, request.threads, request.environment)
