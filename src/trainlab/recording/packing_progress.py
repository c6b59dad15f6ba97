"""Packing pictures, told on the terminal: what it will take, how far it is, what was left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainlab.data.image_set import passed_over
from trainlab.data.packed.listing import Listing
from trainlab.data.packed.writer import Form, bytes_needed, pack
from trainlab.recording.terminal import console, duration
from trainlab.runtime.room import gigabytes
from trainlab.survival.signals import noted, outlast_terminal, stopped

LINE_SECONDS = 10.0  # between two lines where there is no terminal
MOST_NAMED = 20  # skipped pictures


def pack_in_sight(
    listing: Listing, out: Path, form: Form, *, on_bad_image: str = "error", workers: int | None = None
) -> None:
    """`pack`, saying what it will take, how far it is, and what was left out. A signal stops it at the end of a block,
    a second one at once."""
    outlast_terminal()
    terminal = console()
    total = sum(map(len, listing.splits.values()))
    parts = " and ".join(f"{len(sources):,} {name}" for name, sources in listing.splits.items())
    needed = bytes_needed(listing, form)
    terminal.print(
        f"{parts} pictures of {len(listing.classes):,} classes → {out}: {gigabytes(needed)} "
        f"({form.store}, {form.size}×{form.size})",
        soft_wrap=True,
    )
    if listing.passed_over:
        terminal.print(passed_over(listing.passed_over), soft_wrap=True)

    def end(number: int) -> None:
        raise stopped(number, "; the same command goes on where it was")

    # Python drops what a handler raises while a worker is being forked, so each block looks for itself.
    with noted(again=end) as asked, in_sight("packing", total) as on_progress:

        def go_on(done: int) -> None:
            if asked:
                end(asked[0])
            on_progress(done)

        skipped = pack(listing, out, form, on_bad_image=on_bad_image, workers=workers, on_progress=go_on)
    if skipped:
        terminal.print(f"{len(skipped):,} pictures could not be decoded and were left out:")
        for sentence in skipped[:MOST_NAMED]:
            terminal.print(f"  {sentence}", soft_wrap=True)
        if len(skipped) > MOST_NAMED:
            terminal.print(f"  and {len(skipped) - MOST_NAMED:,} more, all in {out / 'set.json'}")
    terminal.print(f"packed: python train.py model=alexnet data=imagenet data.root={out}", soft_wrap=True)


@contextmanager
def in_sight(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Gives a function that takes how many are done: a bar with the time left, or a line now and then."""
    out = console()
    if out.is_terminal:
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("·"), TimeRemainingColumn())
        # Drawn when there is news, not by a thread: workers are forked in here, and could be left a lock of its.
        with Progress(*columns, console=out, auto_refresh=False) as bar:
            task = bar.add_task("", total=total)
            yield lambda done: bar.update(task, completed=done, refresh=True)
        return
    started = last = time.monotonic()
    first: int | None = None

    def line(done: int) -> None:
        nonlocal last, first
        first = done if first is None else first
        now = time.monotonic()
        if now - last > LINE_SECONDS and done > first:
            last = now
            left = (now - started) / (done - first) * (total - done)
            out.print(f"{what}: {done:,} of {total:,} · {duration(left)} left", soft_wrap=True)

    yield line
