"""ILSVRC-2012: 1.28 million photographs in 1,000 classes, from a packed set that is made once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from trainlab.data.image_set import SKIPPED, DataSplits, ImageSet, split
from trainlab.data.packed.format import PackedImages, is_packed, labels, read_packed
from trainlab.data.packed.listing import list_images
from trainlab.data.packed.writer import Form
from trainlab.errors import InputError
from trainlab.survival.lock import directory_lock
from trainlab.survival.undo import undone_on_a_mistake

FOR_EVER = 7 * 24 * 3600.0  # seconds; another command, or another machine of this run, is packing


def load(
    *,
    root: str,
    packed: str | None = None,
    size: int | None = None,
    store: str = "raw",
    on_bad_image: str = "error",
    val_fraction: float = 0.01,
    split_seed: int = 0,
    pack: Callable[..., object] | None = None,
) -> DataSplits:
    """ImageNet (ILSVRC-2012) or a packed set: uint8 (N, 3, size, size), memory-mapped.

    root: a packed set, or the published tree or tar files (see `listing.list_images`), which are then packed once
    into the folder `packed`, by default one inside `root`. size: None for the packed set's own, and 256 where it is
    still to be packed. pack: what packs, as `writer.pack` does; None: a set that is not packed is an error.

    The test set is ILSVRC's validation set, as in the paper, whose tables report it; validation is cut from training.
    Raises InputError.
    """
    folder = Path(root).expanduser()
    if not is_packed(folder):
        if not folder.is_dir():
            raise InputError(
                f"data.root={folder} does not exist",
                option="data.root",
                value=folder,
                hint="give ILSVRC-2012's folder, or a packed set",
            )
        source, form = folder, Form(size or 256, store)
        folder = Path(packed).expanduser() if packed else source / f"packed_{form.size}_{store}"
        if not is_packed(folder) and pack is None:
            raise InputError(
                f"{source} is not packed in {folder}, and only a command that names the data itself packs them",
                hint=f"run python scripts/pack_images.py {source} {folder} first",
            )
        if pack is not None and os.environ.get("LOCAL_RANK", "0") == "0":
            pack_once(source, folder, form, partial(pack, on_bad_image=on_bad_image))
        while not is_packed(folder):  # if the first process fails, the others are ended with it
            time.sleep(1)
    found = read_packed(folder)
    if size not in (None, found.size):
        raise InputError(
            f"data.size={size} is asked for, and {folder} was packed at {found.size} pixels",
            option="data.size",
            value=size,
            hint="leave data.size out, or pack anew",
        )
    names = [name for name, count in found.counts.items() if count]
    sets = {name: ImageSet(PackedImages(found, name), labels(found, name), found.classes) for name in names}
    splits = split(
        sets["train"],
        test=sets.get("val", sets.get("test")),
        test_fraction=0.2,
        val_fraction=val_fraction,
        split_seed=split_seed,
    )
    return replace(splits, notes={SKIPPED: len(found.skipped)} | splits.notes) if found.skipped else splits


def pack_once(source: Path, folder: Path, form: Form, pack: Callable[..., object]) -> None:
    """Pack `source` into `folder`, unless that is done already. Raises InputError."""
    if is_packed(folder):
        return
    listing = list_images(source)
    with undone_on_a_mistake(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"data.packed={folder} cannot be made ({error.strerror})",
                option="data.packed",
                value=folder,
                hint="choose another",
            ) from error
        with directory_lock(folder, or_else=f"{folder} is being packed by another command.", seconds=FOR_EVER):
            if not is_packed(folder):
                pack(listing, folder, form)
