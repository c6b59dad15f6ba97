"""A packed set: pictures of one size in one file each for training, validation and test, read where they lie.

A folder with
  set.json       written last: what is in it, its checksums (of itself, too) and its colours
  NAME.images    raw: uint8, N×S×S×3 (in format 2 N×3×S×S); jpeg: the files one after another
  NAME.ends      jpeg: int64, N: where each ends
  NAME.labels    int32, N
"""

from __future__ import annotations

import json
import mmap
import os
import warnings
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import simplejpeg
import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError
from torch import Tensor

from trainlab.augment import ChannelStatistics
from trainlab.errors import InputError, RunError

SET = "set.json"
FORMAT = 3
CHANNELS_FIRST = 2  # the format before, which differs in the order of raw pictures alone, and is still read
BLOCK = 256  # pictures to a checksum
MAPPED = 2**27  # bytes that are read before the mapping lets go of them
LARGEST = 8192  # side of a picture in pixels: 200 MB


class PartFile(BaseModel):
    """What set.json says of one part: training, validation or test."""

    model_config = ConfigDict(strict=True)
    count: NonNegativeInt
    bytes: NonNegativeInt
    checksums: list[int]
    whole_files: dict[Literal["labels", "ends"], int]
    skipped: list[str]


class SetFile(BaseModel):
    """The content of a set.json, to be checked: anybody may have written it."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    size: Annotated[int, Field(ge=1, le=LARGEST)]
    store: Literal["raw", "jpeg"]
    classes: Annotated[list[str], Field(min_length=1)]
    mean: Annotated[list[float], Field(min_length=3, max_length=3)]
    covariance: Annotated[
        list[Annotated[list[float], Field(min_length=3, max_length=3)]], Field(min_length=3, max_length=3)
    ]
    splits: dict[Literal["train", "val", "test"], PartFile]
    checksum: int


@dataclass(frozen=True)
class Packed:
    """A packed set as its set.json describes it, checked."""

    folder: Path
    size: int
    store: str
    classes: tuple[str, ...]
    counts: dict[str, int]
    bytes: dict[str, int]
    checksums: dict[str, list[int]]  # CRC-32 of the images, for each BLOCK of them
    whole_files: dict[str, int]  # CRC-32 by file name: of labels and ends
    as_written: bool  # whether set.json is what was written
    skipped: list[str]
    channels_first: bool  # whether raw pictures are 3×S×S
    statistics: ChannelStatistics  # of the training set

    def lengths(self, name: str) -> dict[str, int]:
        """How many bytes each file of a part should have."""
        count = self.counts[name]
        ends = {"ends": 8 * count} if self.store == "jpeg" else {}
        return {"images": self.bytes[name], "labels": 4 * count, **ends}


def checksum_of(said: Mapping[str, Any]) -> int:
    """The CRC-32 of all that set.json says but the checksum itself."""
    rest = {key: value for key, value in said.items() if key != "checksum"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def is_packed(folder: Path) -> bool:
    """Whether the folder holds a packed set."""
    return (folder / SET).is_file()


def read_packed(folder: Path) -> Packed:
    """Read and check the set.json of a folder. Raises InputError for what is not a packed set, or is not complete."""
    try:
        said = json.loads((folder / SET).read_text())
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} is not a packed set, or not finished: it has no {SET}",
            hint="python scripts/pack_images.py makes it",
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / SET} cannot be read ({error})", hint="pack the images again") from error
    form = said.get("format") if isinstance(said, dict) else None
    if form not in (FORMAT, CHANNELS_FIRST):
        raise InputError(f"{folder} was packed in format {form}, and this is format {FORMAT}", hint="pack again")
    try:
        told = SetFile.model_validate(said)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise InputError(f"{folder / SET} is damaged ({key}: {problem['msg']})", hint="pack again") from error
    splits: dict[str, PartFile] = {str(name): part for name, part in told.splits.items()}
    found = Packed(
        folder,
        told.size,
        told.store,
        tuple(told.classes),
        {name: part.count for name, part in splits.items()},
        {name: part.bytes for name, part in splits.items()},
        {name: part.checksums for name, part in splits.items()},
        {f"{name}.{kind}": crc for name, part in splits.items() for kind, crc in part.whole_files.items()},
        told.checksum == checksum_of(said),
        [bad for part in splits.values() for bad in part.skipped],
        form == CHANNELS_FIRST,
        ChannelStatistics(torch.tensor(told.mean), torch.tensor(told.covariance, dtype=torch.float64)),
    )
    if not found.counts.get("train"):
        raise InputError(f"{folder / SET} is damaged (it has no training pictures)", hint="pack again")
    for name in splits:
        for kind, expected in found.lengths(name).items():
            path = folder / f"{name}.{kind}"
            there = path.stat().st_size if path.is_file() else 0
            if there != expected:
                raise InputError(f"{path} has {there:,} bytes and not {expected:,}", hint="pack the images again")
        check_lengths(found, name)
    return found


def check_lengths(packed: Packed, name: str) -> None:
    """Raises InputError for a part whose pictures are not where set.json says, or not of its size."""
    wrong = ""
    if packed.store == "raw":
        if packed.bytes[name] != packed.counts[name] * 3 * packed.size**2:
            wrong = f"{packed.bytes[name]:,} bytes are not {packed.counts[name]:,} pictures"
    elif packed.counts[name]:
        ends = np.fromfile(packed.folder / f"{name}.ends", dtype=np.int64)
        lengths = np.diff(ends, prepend=0)
        if lengths.min() < 1 or ends[-1] != packed.bytes[name]:
            wrong = f"{name}.ends is not in order"
        else:
            with open(packed.folder / f"{name}.images", "rb") as file:
                header = file.read(int(lengths[0]))
            try:
                height, width = simplejpeg.decode_jpeg_header(header)[:2]
            except ValueError:
                height = width = 0
            if (height, width) != (packed.size, packed.size):
                wrong = f"the first picture is not a JPEG of {packed.size}×{packed.size} pixels"
    if wrong:
        raise InputError(f"{packed.folder} is damaged ({name}: {wrong})", hint="pack the images again")


class PackedImages:
    """The pictures of one part of a packed set, indexable as uint8 (N, 3, S, S); only what is asked for is read.

    rows: int64, which pictures these are; None for all. workers: threads that decode JPEGs; None for one on each
    core.
    """

    dtype, ndim = torch.uint8, 4

    def __init__(self, packed: Packed, name: str, rows: Tensor | None = None, *, workers: int | None = None) -> None:
        self.packed, self.name, self.rows, self.workers = packed, name, rows, workers
        count = packed.counts[name] if rows is None else len(rows)
        self.shape = torch.Size((count, 3, packed.size, packed.size))
        self.statistics = packed.statistics
        self.bytes_read = 0

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, indices: Tensor) -> PackedImages:
        """The pictures at `indices`, int64 (n,), as another such object; nothing is read."""
        return PackedImages(
            self.packed, self.name, indices if self.rows is None else self.rows[indices], workers=self.workers
        )

    def __getitem__(self, indices: Tensor) -> Tensor:
        """int64 (B,) → uint8 (B, 3, S, S), the channels last in memory, but for raw pictures of format 2."""
        rows = indices if self.rows is None else self.rows[indices]
        if self.packed.store == "raw":
            read = self._raw.index_select(0, rows)
            read = read if self.packed.channels_first else read.permute(0, 3, 1, 2)
            self.bytes_read += read.numel()
        else:
            read = self._decoded(rows)
        if self.bytes_read > MAPPED:
            self.bytes_read = 0
            self._let_go()
        return read

    def _let_go(self) -> None:
        """Of the pages that were read: they stay in the system's cache, and are no longer counted as this process's."""
        mapped = self._mapped._mmap  # type: ignore[attr-defined]
        if hasattr(mapped, "madvise"):  # not on Windows
            mapped.madvise(mmap.MADV_DONTNEED)

    @cached_property
    def _raw(self) -> Tensor:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not writable.*")  # nobody writes
            side = self.packed.size
            picture = (3, side, side) if self.packed.channels_first else (side, side, 3)
            return torch.from_numpy(self._bytes).view(-1, *picture)

    @cached_property
    def _mapped(self) -> np.memmap:
        return np.memmap(self.packed.folder / f"{self.name}.images", mode="r")

    @cached_property
    def _bytes(self) -> np.ndarray:
        return self._mapped.view(np.ndarray)  # of which a part is taken in a tenth of the time

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.fromfile(self.packed.folder / f"{self.name}.ends", dtype=np.int64)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        return ThreadPoolExecutor(self.workers or cores)

    def _decoded(self, rows: Tensor) -> Tensor:
        side = self.packed.size
        images = np.empty((len(rows), side, side, 3), np.uint8)

        ends = self._ends[rows].tolist()
        starts = np.where(rows == 0, 0, self._ends[rows - 1]).tolist()
        self.bytes_read += sum(ends) - sum(starts)

        def decode(place: int, row: int) -> None:
            try:
                simplejpeg.decode_jpeg(self._bytes[starts[place] : ends[place]], "RGB", buffer=images[place])
            except ValueError as error:
                where = self.packed.folder
                raise RunError(
                    f"picture {row:,} of {self.name} in {where} cannot be decoded ({str(error).rstrip('.')})",
                    hint=f"python scripts/pack_images.py --verify {where} finds what is damaged",
                ) from error

        if self.workers == 1:
            for place, row in enumerate(rows.tolist()):
                decode(place, row)
        else:
            list(self._threads.map(decode, range(len(rows)), rows.tolist()))
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "packed": self.packed,
            "name": self.name,
            "rows": self.rows,
            "workers": self.workers,
            "shape": self.shape,
            "statistics": self.statistics,
            "bytes_read": 0,
        }


def labels(packed: Packed, name: str) -> Tensor:
    """The labels of one part, int64 (N,). Raises InputError for a label that is not a class."""
    found = torch.from_numpy(np.fromfile(packed.folder / f"{name}.labels", dtype=np.int32).astype(np.int64))
    if len(found) and not 0 <= int(found.min()) <= int(found.max()) < len(packed.classes):
        raise InputError(
            f"{packed.folder / f'{name}.labels'} has labels that are no class", hint="pack the images again"
        )
    return found


def verify(packed: Packed, on_progress: Callable[[int], None]) -> list[str]:
    """What is damaged, in words; nothing if the set is as it was packed. on_progress: the pictures of each block."""
    wrong = [] if packed.as_written else [f"{SET} is not as it was written"]
    for name, crc in packed.whole_files.items():
        if zlib.crc32((packed.folder / name).read_bytes()) != crc:
            wrong.append(name)
    for name, count in packed.counts.items():
        try:
            labels(packed, name)
        except InputError:
            wrong.append(f"{name}: labels that are no class")
        ends = np.arange(1, count + 1) * 3 * packed.size**2
        if packed.store == "jpeg":
            ends = np.fromfile(packed.folder / f"{name}.ends", dtype=np.int64)
        with open(packed.folder / f"{name}.images", "rb") as file:
            start = 0
            for block, checksum in enumerate(packed.checksums[name]):
                last = min((block + 1) * BLOCK, count)
                length = max(0, min(int(ends[last - 1]), packed.bytes[name]) - start)
                if zlib.crc32(file.read(length)) != checksum:
                    wrong.append(f"{name}: pictures {block * BLOCK:,} to {last - 1:,}")
                start += length
                on_progress(last - block * BLOCK)
    return wrong
