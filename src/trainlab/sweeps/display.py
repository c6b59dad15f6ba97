"""What a sweep looks like in the terminal: a live table, or a line for each point that ends."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from trainlab.recording.run_directory import read_rows
from trainlab.recording.terminal import duration
from trainlab.sweeps.names import shown
from trainlab.sweeps.point import FAILED, FINISHED, INTERRUPTED, LOG, NEW
from trainlab.sweeps.pool import RUNNING, Job, PointProgress

REFRESH_SECONDS = 0.5
MOST_SAID = 50  # of the points that went wrong
ORDER = (RUNNING, FAILED, INTERRUPTED, NEW, FINISHED)  # which rows are shown where not all fit
STATES_BEFORE = {FINISHED: "finished before", INTERRUPTED: "interrupted before, to be resumed"}


class Display:
    """Use as a context manager, call `look` whenever something may have changed."""

    def __init__(self, folder: Path, jobs: Sequence[Job], how: str) -> None:
        """how: they are run, in words."""
        self.folder, self.jobs = folder, jobs
        self.out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.live = Live(console=self.out, auto_refresh=False) if self.out.is_terminal else None
        self.before: dict[str, str] = {job.name: job.status.state for job in jobs}
        self.said: set[str] = set()
        self.refreshed = 0.0
        known: Counter[str] = Counter(self.before.values())
        parts = [f"{len(jobs)} point{'s' * (len(jobs) != 1)}, {how}"]
        parts += [f"{known[state]} {what}" for state, what in STATES_BEFORE.items() if known[state]]
        self.heading = " · ".join(parts)

    def __enter__(self) -> Display:
        self.out.print(f"{self.heading}\n{os.path.relpath(self.folder)}")
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live is not None:
            self.live.update(self.table(), refresh=True)
            self.live.stop()

    def look(self) -> None:
        """Show what has changed: in a terminal the table is drawn anew, elsewhere a line is printed for each change."""
        if self.live is not None:
            if time.monotonic() - self.refreshed > REFRESH_SECONDS:
                self.refreshed = time.monotonic()
                self.live.update(self.table(), refresh=True)
            return
        for job in self.jobs:
            if job.status.state in (FINISHED, FAILED, INTERRUPTED) and job.ran:
                self.say(job)

    def say(self, job: Job) -> None:
        """Print one line about a point that has ended, once: how, its epochs, its validation error and its time."""
        if job.name in self.said:
            return
        self.said.add(job.name)
        made = progress(job)
        done = sum(job.status.state == FINISHED for job in self.jobs if not job.ran) + len(self.said)
        parts = [f"[{done}/{len(self.jobs)}] {job.name} {job.status.state}", f"epoch {made.epoch}"]
        if made.error is not None:
            parts.append(f"validation error {made.error:.2%}")
        parts.append(duration(job.status.seconds))
        self.out.print(" · ".join([*parts, *([job.status.error] if job.status.error else [])]))

    def done(self) -> int:
        """How many points have ended, in whatever way."""
        return sum(job.status.state in (FINISHED, FAILED, INTERRUPTED) for job in self.jobs)

    def table(self) -> Table:
        """The table on the terminal, with as many rows as there is room for: what runs first, then what went wrong."""
        room = max(3, self.out.height - 7)
        kept = sorted(self.jobs, key=lambda job: ORDER.index(job.status.state))[:room]
        table = Table(title=f"{self.done()} of {len(self.jobs)} points are done", title_justify="left")
        for heading in (*self.jobs[0].swept, "state", "epoch", "validation error", "time left"):
            table.add_column(heading, justify="left" if heading == "state" else "right")
        for job in [job for job in self.jobs if job in kept]:
            made = progress(job)
            state: str = "waiting" if job.status.state == NEW else job.status.state
            state += " (before)" if not job.ran and job.status.state == FINISHED else ""
            table.add_row(
                *map(shown, job.swept.values()),
                state + (" (resumed)" if job.resumed and job.status.state == RUNNING else ""),
                f"{made.epoch}/{job.composed.trainer.max_epochs}",
                "–" if made.error is None else f"{made.error:.2%}",
                "" if made.left is None else duration(made.left),
            )
        return table

    def summary(self, stopped: int | None) -> None:
        """Print what came of the sweep, each failure with its last error and its log. stopped: the signal that
        stopped it.
        """
        states = Counter(job.status.state for job in self.jobs)
        finished = f"{states[FINISHED]} of {len(self.jobs)} points are finished"
        if self.before and (old := sum(state == FINISHED for state in self.before.values())):
            finished += f", {old} of them before"
        self.out.print(finished)
        wrong = [job for job in self.jobs if job.status.state in (FAILED, INTERRUPTED)]
        for job in wrong[:MOST_SAID]:
            log = os.path.relpath(job.log or job.folder / LOG)
            self.out.print(f"  {job.status.state}: {job.name}: {job.status.error or 'no error'}\n    {log}")
        if len(wrong) > MOST_SAID:
            self.out.print(f"  and {len(wrong) - MOST_SAID} more, each with its status.json")
        if stopped is not None:
            name = "Ctrl-C" if stopped == signal.SIGINT else signal.Signals(stopped).name
            self.out.print(f"stopped by {name}; the same command goes on")
        elif states[FINISHED] < len(self.jobs):
            self.out.print("the same command goes on with interrupted points and runs failed ones again")
        offline = "*/wandb/offline-run-*"
        if any(self.folder.glob(offline)):
            self.out.print(f"W&B recorded offline; to upload: wandb sync {os.path.relpath(self.folder)}/{offline}")
        report = f"python scripts/report.py {os.path.relpath(self.folder)}"
        self.out.print(f"to compare: {report} --table\nto look at it: {report} --html report.html --open")


def progress(job: Job) -> PointProgress:
    """How far a point is: epochs done, last validation error, and the seconds that are left at the present speed."""
    if job.done is not None:
        return job.done
    rows = read_rows(job.folder)
    if not rows:
        return PointProgress(0)
    epoch = int(rows[-1]["epoch"])
    error = next((row["val/top1_error"] for row in reversed(rows) if "val/top1_error" in row), None)
    left = None
    if job.status.state == RUNNING and "training_seconds" in rows[-1]:
        left = rows[-1]["training_seconds"] / epoch * (job.composed.trainer.max_epochs - epoch)
    return PointProgress(epoch, error, left)
