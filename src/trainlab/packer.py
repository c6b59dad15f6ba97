"""scripts/pack_images.py: packing with a progress bar, and checking what was packed."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainlab.arguments import Arguments
from trainlab.data.ilsvrc import Listing, list_images
from trainlab.data.image_set import passed_over
from trainlab.data.packed import read_packed, verify
from trainlab.data.packing import Form, bytes_needed, pack
from trainlab.duration import duration
from trainlab.errors import InputError, RunError
from trainlab.footprint import undone_on_a_mistake
from trainlab.memory import gigabytes
from trainlab.run_directory import only_one
from trainlab.signals import noted, outlast_terminal, stopped
from trainlab.terminal import console

LINE_SECONDS = 10.0  # between two lines where there is no terminal
MOST_NAMED = 20  # skipped pictures


def pack_images(arguments: Sequence[str]) -> None:
    """Raises InputError and RunError."""
    options = parse(arguments)
    if options.verify:
        if options.out is not None:
            raise InputError("--verify takes one folder, the packed set.")
        check(Path(options.source))
        return
    if options.out is None:
        raise InputError("name the folder to pack into: python scripts/pack_images.py SRC OUT.")
    if options.size < 1:
        raise InputError(f"--size {options.size} must be at least 1 pixel.")
    if not 1 <= options.quality <= 100:
        raise InputError(f"--quality {options.quality} is not from 1 to 100.")
    if options.workers is not None and options.workers < 1:
        raise InputError(f"--workers {options.workers} must be at least 1.")
    out = Path(options.out)
    listing = list_images(Path(options.source))
    with undone_on_a_mistake(out):
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{out} cannot be made ({error.strerror}); choose another folder.") from None
        with only_one(out, or_else=f"{out} is being packed by another command."):
            pack_in_sight(
                listing,
                out,
                Form(options.size, options.store, options.quality),
                on_bad_image=options.on_bad_image,
                workers=options.workers,
            )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Arguments(
        prog="python scripts/pack_images.py",
        description="ImageNet, or any folder with train/<class>/ and val/<class>/, once into a set that is read where "
        "it lies: short side scaled, centre cut out. Killed, the same command goes on.",
    )
    parser.add_argument("source", metavar="SRC", help="train/ and val/, or ILSVRC's tar files; with --verify the set")
    parser.add_argument("out", nargs="?", metavar="OUT", help="the folder to write")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures (256)")
    parser.add_argument("--store", choices=("raw", "jpeg"), default="raw", help="raw: fast; jpeg: a sixth of the disk")
    parser.add_argument("--quality", type=int, default=95, help="of --store jpeg (95)")
    parser.add_argument("--on-bad-image", choices=("error", "skip"), default="error", help="what cannot be decoded")
    parser.add_argument("--workers", type=int, help="processes that decode (one for each core)")
    parser.add_argument("--verify", action="store_true", help="check a packed set against its checksums")
    return parser.parse_args(list(arguments))


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
    with noted(again=end) as asked, in_sight("packing", total) as tell:

        def go_on(done: int) -> None:
            if asked:
                end(asked[0])
            tell(done)

        skipped = pack(listing, out, form, on_bad_image=on_bad_image, workers=workers, tell=go_on)
    if skipped:
        terminal.print(f"{len(skipped):,} pictures could not be decoded and were left out:")
        for sentence in skipped[:MOST_NAMED]:
            terminal.print(f"  {sentence}", soft_wrap=True)
        if len(skipped) > MOST_NAMED:
            terminal.print(f"  and {len(skipped) - MOST_NAMED:,} more, all in {out / 'set.json'}")
    terminal.print(f"packed: python train.py model=alexnet data=imagenet data.root={out}", soft_wrap=True)


def check(folder: Path) -> None:
    """Raises RunError for a damaged set."""
    packed = read_packed(folder)
    total = sum(packed.counts.values())
    done = 0
    with in_sight("checking", total) as tell:

        def add(pictures: int) -> None:
            nonlocal done
            done += pictures
            tell(done)

        wrong = verify(packed, add)
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise RunError(f"{folder} is damaged ({'; '.join(wrong[:3])}{more}); pack the images again.")
    parts = ", ".join(f"{count:,} {name}" for name, count in packed.counts.items())
    console().print(f"{folder} is as it was packed: {parts}, {len(packed.skipped):,} left out")


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
