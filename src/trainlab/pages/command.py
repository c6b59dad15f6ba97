"""scripts/report.py --html and --lecture: writes a page, opens it, and keeps it up to date while runs go on."""

from __future__ import annotations

import os
import time
import webbrowser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trainlab.errors import InputError
from trainlab.pages.document import write_document
from trainlab.pages.runs import runs_page
from trainlab.recording.terminal import console, printable
from trainlab.sweeps.point import FAILED, FINISHED
from trainlab.sweeps.table import DAMAGED, Run, default_metrics, distinct, gather, sorted_groups

RUNNING = "running"
WATCH_SECONDS = 5.0
WATCH_SHARE = 10  # it sleeps so many times as long as it builds, so that it takes little from the runs
LOCKS = Path("/proc/locks")


def write_page(
    folders: Sequence[Path],
    file: Path,
    *,
    metrics: Sequence[str] = (),
    sort: str | None = None,
    opens: bool = False,
    watches: bool = False,
) -> None:
    """Write `file`. metrics: results that the table has beside the usual ones. sort: a result or an option.

    opens: show it in the browser. watches: write it again while runs are neither finished nor failed, until Ctrl-C; the
    open page follows. Raises InputError.
    """
    if file.is_dir():
        raise InputError(f"{file} is a folder", hint=f"name a file in it, such as --html {file / 'report.html'}")
    if opens:
        check_browser(file)
    runs, again = read(folders)
    text = page_of(runs, again, metrics, sort, reload=watches and goes_on(runs))
    write(file, text)
    terminal = console()
    terminal.print(f"written: {os.path.relpath(file)}, {len(text.encode()) / 1e6:.2f} MB", soft_wrap=True)
    if opens:
        webbrowser.open(file.resolve().as_uri())
    if watches:
        try:
            keep(folders, file, metrics, sort)
            terminal.print("no run goes on any more; the page is complete")
        except KeyboardInterrupt:
            write(file, page_of(*read(folders), metrics, sort, reload=False))
            terminal.print("\nstopped; the page stays as it is now")


def write_lecture_page(folders: Sequence[Path], file: Path, *, opens: bool = False) -> None:
    """Write the lecture's page from all in these folders, and say what was damaged. Raises InputError."""
    from trainlab.pages.lecture.page import write_lecture

    if opens:
        check_browser(file)
    terminal = console()
    for problem in write_lecture(file, folders):
        terminal.print(printable(problem), soft_wrap=True, markup=False)
    terminal.print(f"written: {os.path.relpath(file)}, {file.stat().st_size / 1e6:.2f} MB", soft_wrap=True)
    if opens:
        webbrowser.open(file.resolve().as_uri())


def keep(folders: Sequence[Path], file: Path, metrics: Sequence[str], sort: str | None) -> None:
    """Write the page again and again, until no run goes on."""
    before = ""
    while True:
        started = time.monotonic()
        runs, again = read(folders)
        going = goes_on(runs)
        text = page_of(runs, again, metrics, sort, reload=going)
        if text != before:
            write(file, text)
        if not going:
            return
        before = text
        time.sleep(max(WATCH_SECONDS, WATCH_SHARE * (time.monotonic() - started)))


def page_of(
    runs: Sequence[Run], again: Sequence[Run], metrics: Sequence[str], sort: str | None, *, reload: bool
) -> str:
    """The text of the page of runs. again: runs that repeat others, which are only counted. metrics, sort: as in
    `write_page`. reload: whether the open page asks for itself again. Raises InputError for names that no run has.
    """
    groups = sorted_groups(runs, metrics, sort)
    headline = list(dict.fromkeys([*default_metrics(groups), *metrics]))
    return runs_page(groups, headline, again=again, reload=WATCH_SECONDS if reload else None)


def read(folders: Sequence[Path]) -> tuple[list[Run], list[Run]]:
    """The runs in the folders in two lists: those that count, and those that repeat others. One that a command of this
    machine trains now is RUNNING. Raises InputError where there are none.
    """
    runs, again = distinct(gather(folders))
    taken = taken_inodes()
    return [replace(run, state=RUNNING) if is_taken(run, taken) else run for run in runs], again


def goes_on(runs: Sequence[Run]) -> bool:
    """Whether one of the runs may still end well: it runs, waits, or was interrupted and can be taken up again."""
    return any(run.state not in (FINISHED, FAILED, DAMAGED) for run in runs)


def taken_inodes() -> set[int]:
    """The inodes of the files that processes of this machine hold locked; none where the system does not say."""
    try:
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return set()
    places = [word for line in lines for word in line.split() if word.count(":") == 2]
    return {int(place.rpartition(":")[2]) for place in places}


def is_taken(run: Run, taken: set[int]) -> bool:
    """Whether a command trains in the run's directory now; told without taking the lock, which would be in its way.

    taken: what `taken_inodes` says.
    """
    if run.state in (FINISHED, DAMAGED):
        return False
    try:
        return (run.folder / ".lock").stat().st_ino in taken
    except OSError:
        return False


def check_browser(file: Path) -> None:
    """Raises InputError where there is no browser to show the page in."""
    try:
        webbrowser.get()
    except webbrowser.Error as error:
        raise InputError(
            "--open finds no browser on this machine", hint=f"leave it out, and open {file} where there is one"
        ) from error


def write(file: Path, text: str) -> None:
    """Write the page, whole or not at all. Raises InputError where the disk does not take it."""
    write_document(file, text, hint="choose another file with --html")
