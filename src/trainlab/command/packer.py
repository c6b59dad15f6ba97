"""scripts/pack_images.py: packing with a progress bar, and checking what was packed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from trainlab.command.arguments import Arguments
from trainlab.data.packed.format import read_packed, verify
from trainlab.data.packed.listing import list_images
from trainlab.data.packed.writer import Form
from trainlab.errors import InputError, RunError
from trainlab.recording.packing_progress import in_sight, pack_in_sight
from trainlab.recording.terminal import console
from trainlab.survival.lock import directory_lock
from trainlab.survival.undo import undone_on_a_mistake


def pack_images(arguments: Sequence[str]) -> None:
    """scripts/pack_images.py: pack a folder of pictures, or check a packed set. Raises InputError and RunError."""
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
            raise InputError(f"{out} cannot be made ({error.strerror})", hint="choose another folder") from error
        with directory_lock(out, or_else=f"{out} is being packed by another command."):
            pack_in_sight(
                listing,
                out,
                Form(options.size, options.store, options.quality),
                on_bad_image=options.on_bad_image,
                workers=options.workers,
            )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of scripts/pack_images.py. Raises InputError."""
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


def check(folder: Path) -> None:
    """Verify a packed set, block by block. Raises RunError for a damaged one."""
    packed = read_packed(folder)
    total = sum(packed.counts.values())
    done = 0
    with in_sight("checking", total) as on_progress:

        def add(pictures: int) -> None:
            nonlocal done
            done += pictures
            on_progress(done)

        wrong = verify(packed, add)
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise RunError(f"{folder} is damaged ({'; '.join(wrong[:3])}{more})", hint="pack the images again")
    parts = ", ".join(f"{count:,} {name}" for name, count in packed.counts.items())
    console().print(f"{folder} is as it was packed: {parts}, {len(packed.skipped):,} left out")
