"""Your own images: one folder for each class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from trainlab.data.image_set import PASSED_OVER, SKIPPED, DataSplits, ImageSet, split
from trainlab.data.packed.pictures import SUFFIXES, is_passed_over, passed_over_in, pictures_below, read_pictures
from trainlab.errors import InputError

VAL_NAMES = ("val", "valid", "validation")


def load(
    *,
    root: str,
    size: int = 64,
    channels: int = 3,
    on_bad_image: str = "error",
    test_fraction: float = 0.2,
    val_fraction: float = 0.1,
    split_seed: int = 0,
) -> DataSplits:
    """All images below the folder `root`, uint8 (N, channels, size, size), held in memory.

    Two layouts, classes and files in alphabetical order, so that the set is a function of the folder:

    - root/<class>/**/*.jpg (or any of `pictures.SUFFIXES`): test and validation are cut from the whole;
    - root/train/<class>/..., with root/test/<class>/... and root/val/<class>/... (or valid, validation) where
      they exist. With no test folder the val folder is the test set, because a set that chose the checkpoint
      cannot also be reported; with neither, the test set is cut from training. Validation is cut from
      training unless there are folders for all three.

    Hidden and system names (`pictures.is_passed_over`) are passed over, and counted in `DataSplits.notes`. Pictures are
    converted as `pictures.read_picture` says. `on_bad_image`: "error", or "skip", which counts them there, too.
    Raises InputError for a folder that is not so, and for a file that cannot be decoded.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        hint = "give a folder that holds one folder for each class"
        raise InputError(f"data.root={folder} {what}", option="data.root", value=folder, hint=hint)

    parts = _parts(folder)
    classes = _classes(parts["train"])
    for path in parts.values():
        unknown = [name for name in _classes(path) if name not in classes]
        if unknown:
            raise InputError(
                f"the class {unknown[0]} is in {path} but not in {parts['train']}", hint="training needs it too"
            )
    if len(classes) == 1:
        raise InputError(f"{parts['train']} holds only one class, {classes[0]}", hint="a classifier needs two or more")

    reading = {"size": size, "channels": channels, "on_bad_image": on_bad_image}
    sets, skipped, inside = _read(parts, classes, reading)
    passed_over = sum(passed_over_in(place) for place in {folder, *parts.values()}) + inside
    if "val" in sets and "test" in sets:
        splits = DataSplits(sets["train"], sets["val"], sets["test"])
    else:
        splits = split(
            sets["train"],
            test=sets.get("test", sets.get("val")),
            test_fraction=test_fraction,
            val_fraction=val_fraction,
            split_seed=split_seed,
        )
    notes = {SKIPPED: skipped} if on_bad_image == "skip" else {}
    return replace(splits, notes=notes | ({PASSED_OVER: passed_over} if passed_over else {}) | splits.notes)


def _read(
    parts: dict[str, Path], classes: tuple[str, ...], reading: dict[str, Any]
) -> tuple[dict[str, ImageSet], int, int]:
    """The sets by the names of their parts, how many images were skipped, and how many names passed over."""
    listed = {part: _files(path, classes) for part, path in parts.items()}  # all lists before the first image
    sets: dict[str, ImageSet] = {}
    skipped = 0
    for part, (paths, labels, _) in listed.items():
        images, kept = read_pictures(paths, **reading)
        skipped += len(paths) - len(kept)
        sets[part] = ImageSet(images, labels[kept], classes)
        gone = set(labels.tolist()) - set(sets[part].labels.tolist())
        if gone:
            place = parts[part] / classes[min(gone)]
            raise InputError(f"no image in {place} can be decoded", hint="put images there or remove the folder")
    return sets, skipped, sum(inside for _, _, inside in listed.values())


def check_classes(folder: Path, expected: tuple[str, ...], name: str) -> None:
    """Raises InputError unless the class folders in `folder` are those of the named data set."""
    found = _classes(folder)
    if found != expected:
        wrong = sorted(set(found) ^ set(expected))[0]
        raise InputError(
            f"the class folders in {folder} are not those of {name} ({wrong} is missing or not one of them)",
            hint="for your own classes take data=image_folder",
        )


def _parts(folder: Path) -> dict[str, Path]:
    """The folders of class folders: train alone, or with val and test."""
    names = set(_classes(folder))
    vals = [name for name in VAL_NAMES if name in names]
    others = {"test", *vals} & names
    if len(vals) > 1:
        raise InputError(f"{folder} holds both {vals[0]} and {vals[1]}", hint="keep one folder for validation")
    if names and names == others:
        raise InputError(
            f"{folder} holds {sorted(names)[0]} but no train", hint=f"put the training images in {folder / 'train'}"
        )
    if "train" not in names or not (others or names == {"train"}):
        return {"train": folder}  # a class may well be called train: think of vehicles
    parts = {"train": folder / "train"}
    if vals:
        parts["val"] = folder / vals[0]
    if "test" in names:
        parts["test"] = folder / "test"
    return parts


def _classes(folder: Path) -> tuple[str, ...]:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not is_passed_over(path.name))
    if not names:
        raise InputError(f"{folder} holds no folders", hint="put the images of each class in a folder of its own")
    return tuple(names)


def _files(folder: Path, classes: tuple[str, ...]) -> tuple[list[Path], torch.Tensor, int]:
    """The images below each class folder, their labels, and how many names are passed over."""
    paths: list[Path] = []
    labels: list[int] = []
    passed_over = 0
    for label, name in enumerate(classes):
        if not (folder / name).is_dir():  # a class that only training has
            continue
        found, inside = pictures_below(folder / name, follow_links=True)
        if not found:
            raise InputError(f"the class folder {folder / name} holds no images ({', '.join(sorted(SUFFIXES))}).")
        paths += [folder / name / file for file in found]
        labels += [label] * len(found)
        passed_over += inside
    return paths, torch.tensor(labels, dtype=torch.int64), passed_over
