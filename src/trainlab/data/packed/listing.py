"""ILSVRC-2012 as people have it: folders, a flat val/ with the devkit, or the tar files as they were published."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from trainlab.data.packed.pictures import SUFFIXES, is_passed_over, passed_over_in, pictures_below
from trainlab.errors import InputError

TRAIN_TAR, VAL_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKITS = ("ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12.tar.gz", "devkit", "ILSVRC2012_devkit")
TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"
META = "data/meta.mat"
WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Source:
    """One picture: a file, or a part of a tar file. name: for people. label: its class."""

    file: Path
    name: str
    label: int
    offset: int = 0
    size: int = -1  # bytes; −1: to the end

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Inside, the picture's bytes as a file that is open for reading."""
        with open(self.file, "rb") as file:
            if self.size < 0:
                yield file
            else:
                file.seek(self.offset)
                yield io.BytesIO(file.read(self.size))


@dataclass(frozen=True)
class Listing:
    """folders: the classes as they are called on the disk (WordNet ids), sorted: class k is folders[k]. classes: their
    names for people. splits: the pictures by "train", "val", "test". passed_over: hidden and system names."""

    folders: tuple[str, ...]
    classes: tuple[str, ...]
    splits: dict[str, list[Source]]
    passed_over: int = 0


def list_images(root: Path) -> Listing:
    """The pictures of a tree in the order of their names. Raises InputError for what is no such tree.

    root/train/<class>/… and root/val/<class>/… (or test/), with any number of classes; or root/<class>/…; val/ may be
    flat when the devkit is there (as a folder or as ILSVRC2012_devkit_t12.tar.gz); or the published tar files.
    """
    if not root.is_dir():
        raise InputError(f"{root} is no folder", hint="give the one that holds train/ and val/, or ILSVRC's tar files")
    splits: dict[str, list[tuple[str, Source]]] = {}  # by split: class folder and picture
    passed_over = passed_over_in(root)
    if (root / TRAIN_TAR).is_file():
        splits["train"] = _in_tar_of_tars(root / TRAIN_TAR)
    elif (root / "train").is_dir():
        splits["train"], more = _in_folders(root / "train")
        passed_over += more
    else:
        splits["train"], passed_over = _in_folders(root)
    folders = tuple(sorted({folder for folder, _ in splits["train"]}))
    devkit = _devkit(root)
    for name in ("val", "test"):
        if (root / name).is_dir() and _subfolders(root / name):
            splits[name], more = _in_folders(root / name)
            passed_over += more
        elif name == "val" and ((root / "val").is_dir() or (root / VAL_TAR).is_file()):
            flat = _flat(root / "val") if (root / "val").is_dir() else _in_tar(root / VAL_TAR)
            passed_over += passed_over_in(root / "val") if (root / "val").is_dir() else 0
            splits[name] = _with_truth(flat, devkit, root)
    place = {folder: index for index, folder in enumerate(folders)}
    for name, found in splits.items():
        strange = next((folder for folder, _ in found if folder not in place), None)
        if strange is not None:
            raise InputError(f"the class {strange} is in {name} and not in train, in {root}.")
        if not found:
            raise InputError(f"there are no pictures for {name} in {root} ({', '.join(sorted(SUFFIXES))}).")
    numbered = {
        name: [Source(s.file, s.name, place[folder], s.offset, s.size) for folder, s in found]
        for name, found in splits.items()
    }
    return Listing(folders, class_names(folders, devkit), numbered, passed_over)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_passed_over(path.name))


def _is_picture(name: str) -> bool:
    """Of a file's name, or of a tar's member."""
    path = Path(name)
    return path.suffix.lower() in SUFFIXES and not any(map(is_passed_over, path.parts))


def _in_folders(folder: Path) -> tuple[list[tuple[str, Source]], int]:
    """Class folder and picture of each, and how many names are passed over."""
    found = []
    passed_over = passed_over_in(folder)
    for inner in _subfolders(folder):
        names, inside = pictures_below(inner)
        passed_over += inside
        found += [(inner.name, Source(inner / name, f"{folder.name}/{inner.name}/{name}", 0)) for name in names]
    if not found:
        raise InputError(f"{folder} holds no class folders with pictures", hint=_WHAT)
    return found, passed_over


_WHAT = f"give a folder with train/<class>/ and val/<class>/, or with {TRAIN_TAR} and {VAL_TAR}"


def _flat(folder: Path) -> list[Source]:
    return [
        Source(path, f"{folder.name}/{path.name}", 0) for path in sorted(folder.iterdir()) if _is_picture(path.name)
    ]


def _members(file: Path, offset: int = 0) -> list[tuple[str, int, int]]:
    """(name, offset in the file, size) of what a tar holds that begins at `offset`. Raises InputError."""
    try:
        with open(file, "rb") as raw:
            raw.seek(offset)
            with tarfile.open(fileobj=raw, mode="r:") as archive:
                return [(m.name, m.offset_data, m.size) for m in archive if m.isfile()]
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{file} cannot be read as a tar file ({error})", hint="download it again") from error


def _in_tar(file: Path) -> list[Source]:
    members = [m for m in _members(file) if _is_picture(m[0])]
    return [Source(file, f"{file.name}/{name}", 0, at, size) for name, at, size in sorted(members)]


def _in_tar_of_tars(file: Path) -> list[tuple[str, Source]]:
    """Published are one tar with a tar for each class."""
    found = []
    for inner, offset, _ in sorted(_members(file)):
        if not inner.endswith(".tar") or any(map(is_passed_over, Path(inner).parts)):
            continue
        folder = Path(inner).stem
        members = sorted(m for m in _members(file, offset) if _is_picture(m[0]))
        found += [(folder, Source(file, f"{file.name}/{folder}/{name}", 0, at, size)) for name, at, size in members]
    if not found:
        raise InputError(f"{file} holds no tar files of classes", hint=f"it is not ILSVRC's {TRAIN_TAR}")
    return found


def _devkit(root: Path) -> dict[str, bytes]:
    """The content of its two files, as far as they are there."""
    found: dict[str, bytes] = {}
    for place in (root / name for name in DEVKITS):
        if place.is_dir():
            found |= {name: (place / name).read_bytes() for name in (TRUTH, META) if (place / name).is_file()}
        elif place.is_file():
            try:
                with tarfile.open(place) as archive:
                    for member in archive:
                        wanted = next((name for name in (TRUTH, META) if member.name.endswith(name)), None)
                        if wanted is not None and (inside := archive.extractfile(member)) is not None:
                            found[wanted] = inside.read()
            except (tarfile.TarError, OSError, EOFError) as error:
                raise InputError(f"{place} cannot be read ({error})", hint="download it again") from error
    return found


def _synsets(meta: bytes) -> list[tuple[int, str, str]]:
    """(ILSVRC2012_ID, WordNet id, words) of the classes."""
    from scipy.io import loadmat

    try:
        rows = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        return [(int(row[0]), str(row[1]), str(row[2])) for row in rows.tolist() if int(row[4]) == 0]  # no children
    except Exception as error:  # arbitrary bytes can raise anything here
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise InputError(f"the devkit's {META} cannot be read ({reason})", hint="download the devkit again") from error


def _with_truth(pictures: Sequence[Source], devkit: dict[str, bytes], root: Path) -> list[tuple[str, Source]]:
    """The class folder of each picture of a flat val/: line k of the ground truth is of picture k."""
    if TRUTH not in devkit or META not in devkit:
        raise InputError(
            f"the validation pictures in {root} are not in class folders, and the devkit that knows "
            "their classes is not there",
            hint=f"put {DEVKITS[1]} beside them",
        )
    folder = {number: wnid for number, wnid, _ in _synsets(devkit[META])}
    try:
        truth = [int(line) for line in devkit[TRUTH].split()]
        strange = next((number for number in truth if number not in folder), None)
    except ValueError as error:
        raise InputError(
            f"the devkit's {TRUTH} holds more than numbers ({error})", hint="download the devkit again"
        ) from error
    if strange is not None:
        raise InputError(
            f"the devkit's {TRUTH} has class {strange}, which {META} does not know", hint="download it again"
        )
    if len(truth) != len(pictures):
        raise InputError(f"the devkit knows {len(truth):,} validation pictures and {root} holds {len(pictures):,}.")
    return [(folder[number], picture) for number, picture in zip(truth, pictures, strict=True)]


def class_names(folders: Sequence[str], devkit: dict[str, bytes]) -> tuple[str, ...]:
    """For people: the first word of the synset, with its id where two classes have the same; else the folder's name."""
    words: dict[str, str] = {}
    if META in devkit:
        words = {wnid: text.split(",")[0] for _, wnid, text in _synsets(devkit[META])}
    elif len(folders) == 1000 and all(WNID.fullmatch(folder) for folder in folders):
        from torchvision.models import AlexNet_Weights  # its classes are ILSVRC's, sorted by id

        words = dict(zip(folders, AlexNet_Weights.IMAGENET1K_V1.meta["categories"], strict=True))
    names = [words.get(folder, folder) for folder in folders]
    return tuple(
        f"{name} ({folder})" if names.count(name) > 1 else name for name, folder in zip(names, folders, strict=True)
    )
