"""Pictures of any size and kind, once, into a packed set (see `packed`): what 2012 did before training (§2).

Pictures are decoded by several processes and appended in their order by one, a block at a time. After each block
state.json says how far the files are good; killed at any moment, the same command cuts off what is beyond that and
goes on. set.json, without which nothing reads the folder, is written last.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainlab.data.packed.format import BLOCK, FORMAT, SET, checksum_of
from trainlab.data.packed.listing import Listing, Source
from trainlab.data.packed.pictures import decode
from trainlab.errors import InputError, RunError
from trainlab.runtime.room import gigabytes
from trainlab.survival.atomic import atomic_write
from trainlab.survival.signals import FROM_THE_TERMINAL, SIGNALS, die_with_parent

STATE = "state.json"
SAMPLE = 64  # pictures by which the size of a JPEG set is guessed
ROOM = 1.02  # times what the set is thought to take


@dataclass(frozen=True)
class Form:
    """How pictures are stored. size: pixels along a side. store: raw or jpeg. quality: of the JPEGs."""

    size: int = 256
    store: str = "raw"
    quality: int = 95

    def __post_init__(self) -> None:
        if self.store not in ("raw", "jpeg"):
            raise InputError(
                f"data.store={self.store} is unknown", option="data.store", value=self.store, hint="use raw or jpeg"
            )


@dataclass
class SplitProgress:
    """How far one split (train, val or test) is packed.

    taken: how many of its sources were read; the rest is about what was stored.
    """

    taken: int = 0
    count: int = 0
    bytes: int = 0
    open_checksum: int = 0  # of the block that is not full
    checksums: list[int] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass
class State:
    """How far the packing of a set has come, as it is kept on the disk. plan: a digest of what is being packed, so
    that another command does not go on with it. sums, products: of the training set's colours, as exact integers.
    """

    plan: str
    parts: dict[str, SplitProgress]
    sums: list[int] = field(default_factory=lambda: [0] * 3)
    products: list[list[int]] = field(default_factory=lambda: [[0] * 3 for _ in range(3)])

    def write(self, folder: Path) -> None:
        """Write it into the folder, whole or not at all."""
        atomic_write(folder / STATE, json.dumps(asdict(self)) + "\n")


@dataclass(frozen=True)
class Block:
    """Pictures as they are to be stored, from one worker."""

    pictures: list[bytes]
    labels: list[int]
    skipped: list[str]
    sums: np.ndarray  # int64 (3,)
    products: np.ndarray  # int64 (3, 3)


def bytes_needed(listing: Listing, form: Form) -> int:
    """How many bytes the packed set will take; guessed from a sample of the pictures where it is JPEG. Raises
    InputError if no picture can be read.
    """
    sources = [source for part in listing.splits.values() for source in part]
    if form.store == "raw":
        return len(sources) * 3 * form.size**2
    sample = sources[:: max(1, len(sources) // SAMPLE)]
    block = pack_block(sample, form, with_colours=False)
    if not block.pictures:
        raise InputError(f"none of the pictures can be read: {block.skipped[0]}")
    return len(sources) * sum(map(len, block.pictures)) // len(block.pictures)


def pack(
    listing: Listing,
    out: Path,
    form: Form,
    *,
    on_bad_image: str = "error",
    workers: int | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """Write, or finish, the packed set `out`; returns the names of the pictures that were skipped.

    on_bad_image: "error" or "skip". on_progress: the number of pictures done so far, earlier attempts included.
    Raises InputError for a bad picture, for a folder with other content, and where the disk has no room; RunError for
    a disk that fills up all the same.
    """
    plan = plan_of(listing, form)
    state = start(out, plan, list(listing.splits))
    needed = bytes_needed(listing, form) - sum(part.bytes for part in state.parts.values())
    free = shutil.disk_usage(out).free
    if needed * ROOM > free:
        raise InputError(
            f"the packed set takes {gigabytes(needed)} more and {out} has {gigabytes(free)} free",
            hint="choose another disk, a smaller --size, or --store jpeg",
        )
    state.write(out)
    try:
        with ProcessPoolExecutor(workers, mp_context=_context(), initializer=_worker, initargs=(os.getpid(),)) as pool:
            for name, sources in listing.splits.items():
                _pack_part(pool, state, name, sources, out, form, on_bad_image, on_progress)
    except BrokenProcessPool as error:
        raise RunError("a process that decodes pictures was killed", hint=_GO_ON) from error
    except OSError as error:
        raise RunError(f"{error.filename or out}: {error.strerror or error}", hint=_GO_ON) from error
    finish(out, state, listing, form)
    return [name for part in state.parts.values() for name in part.skipped]


_GO_ON = "the same command goes on where it was"


def plan_of(listing: Listing, form: Form) -> str:
    """A digest of what is packed and how: the same for the same pictures, wherever they lie."""
    digest = hashlib.sha256(repr((FORMAT, form, listing.folders)).encode())
    for name, sources in listing.splits.items():
        digest.update(name.encode())
        for source in sources:
            digest.update(f"{source.name}\0{source.label}\n".encode())
    return digest.hexdigest()


def start(out: Path, plan: str, names: Sequence[str]) -> State:
    """The state to go on from, with the files cut to the length that it knows. Raises InputError for another set's
    folder.
    """
    if (out / SET).exists():
        raise InputError(f"{out} holds a packed set already", hint="--verify checks it")
    if not (out / STATE).exists():
        if out.exists() and any(path.name != ".lock" for path in out.iterdir()):
            raise InputError(f"{out} is not empty and was not begun by this command", hint="choose another folder")
        out.mkdir(parents=True, exist_ok=True)
        return State(plan, {name: SplitProgress() for name in names})
    try:
        said = json.loads((out / STATE).read_text())
        state = State(**{**said, "parts": {name: SplitProgress(**part) for name, part in said["parts"].items()}})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{out / STATE} is damaged", hint=f"delete {out} and begin anew") from error
    if state.plan != plan:
        raise InputError(
            f"{out} was begun with other pictures or options", hint="use those again, or choose another folder"
        )
    return state


def _pack_part(
    pool: ProcessPoolExecutor,
    state: State,
    name: str,
    sources: Sequence[Source],
    out: Path,
    form: Form,
    on_bad_image: str,
    on_progress: Callable[[int], None],
) -> None:
    part = state.parts[name]
    with ExitStack() as opened:
        kinds = ("images", "labels", *(("ends",) if form.store == "jpeg" else ()))
        files = {kind: opened.enter_context(open(out / f"{name}.{kind}", "ab")) for kind in kinds}
        good = {"images": part.bytes, "labels": 4 * part.count, "ends": 8 * part.count}
        for kind, file in files.items():
            if file.tell() < good[kind]:
                raise InputError(
                    f"{file.name} has {file.tell():,} bytes and not the {good[kind]:,} that were written",
                    hint=f"it was damaged since, so delete {out} and begin anew",
                )
            file.truncate(good[kind])
        before = sum(other.taken for key, other in state.parts.items() if key != name)
        on_progress(before + part.taken)
        blocks = [sources[i : i + BLOCK] for i in range(part.taken, len(sources), BLOCK)]
        for taken, block in _in_order(pool, blocks, form, with_colours=name == "train"):
            if block.skipped and on_bad_image == "error":
                raise InputError(
                    f"{block.skipped[0].rstrip('.')}; repair or remove it, or leave such pictures out with "
                    "--on-bad-image skip (data.on_bad_image=skip)",
                    hint=_GO_ON,
                )
            _append(part, block, files)
            for file in files.values():
                file.flush()
                os.fsync(file.fileno())
            part.taken += taken
            part.skipped += block.skipped
            if name == "train":
                state.sums = [a + int(b) for a, b in zip(state.sums, block.sums, strict=True)]
                state.products = [
                    [a + int(b) for a, b in zip(ours, theirs, strict=True)]
                    for ours, theirs in zip(state.products, block.products, strict=True)
                ]
            state.write(out)
            on_progress(before + part.taken)


def _append(part: SplitProgress, block: Block, files: dict[str, Any]) -> None:
    """Pictures, labels and ends to their files, and what they come to into `part`."""
    for picture, label in zip(block.pictures, block.labels, strict=True):
        part.open_checksum = zlib.crc32(picture, part.open_checksum)
        part.count += 1
        part.bytes += len(picture)
        if part.count % BLOCK == 0:
            part.checksums.append(part.open_checksum)
            part.open_checksum = 0
        files["images"].write(picture)
        files["labels"].write(np.int32(label).tobytes())
        if "ends" in files:
            files["ends"].write(np.int64(part.bytes).tobytes())


def _in_order(
    pool: ProcessPoolExecutor, blocks: Sequence[Sequence[Source]], form: Form, with_colours: bool
) -> Iterator[tuple[int, Block]]:
    """The packed blocks with their numbers of sources; no more are under way than there is use for."""
    waiting: deque[tuple[int, Future[Block]]] = deque()
    ahead = 2 * (pool._max_workers or 1)  # type: ignore[attr-defined]
    try:
        for sources in blocks:
            waiting.append((len(sources), pool.submit(pack_block, sources, form, with_colours)))
            if len(waiting) >= ahead:
                taken, future = waiting.popleft()
                yield taken, future.result()
        while waiting:
            taken, future = waiting.popleft()
            yield taken, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def pack_block(sources: Sequence[Source], form: Form, with_colours: bool) -> Block:
    """Decode some pictures, scale the short side to `form.size` and cut out the centre square. Runs in a worker
    process.
    """
    pictures, labels, skipped = [], [], []
    sums, products = np.zeros(3, np.int64), np.zeros((3, 3), np.int64)
    for source in sources:
        try:
            with source.open() as file:
                pixels = decode(file, source.name, size=form.size)
        except InputError as error:
            skipped.append(str(error))
            continue
        pictures.append(_encode(pixels, form))
        labels.append(source.label)
        if with_colours:
            colours = pixels.reshape(-1, 3).astype(np.float64)  # exact: sums of products stay below 2^53
            sums += colours.sum(0).astype(np.int64)
            products += (colours.T @ colours).astype(np.int64)
    return Block(pictures, labels, skipped, sums, products)


def _encode(pixels: np.ndarray, form: Form) -> bytes:
    if form.store == "raw":
        return pixels.tobytes()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=form.quality)
    return file.getvalue()


def finish(out: Path, state: State, listing: Listing, form: Form) -> None:
    """Write set.json, which makes the folder a packed set."""
    train = state.parts["train"]
    if not train.count:
        raise InputError("none of the training pictures can be read, so there is nothing to pack.")
    pixels = train.count * form.size**2
    mean = np.array(state.sums, np.float64) / pixels / 255
    covariance = np.array(state.products, np.float64) / pixels / 255**2 - np.outer(mean, mean)
    eigenvalues, vectors = np.linalg.eigh(covariance)
    parts = {}
    for name, part in state.parts.items():
        checksums = part.checksums + ([part.open_checksum] if part.count % BLOCK else [])
        kinds = ("labels", "ends") if form.store == "jpeg" else ("labels",)
        parts[name] = {
            "count": part.count,
            "bytes": part.bytes,
            "checksums": checksums,
            "whole_files": {kind: zlib.crc32((out / f"{name}.{kind}").read_bytes()) for kind in kinds},
            "skipped": part.skipped,
        }
    said = {
        "format": FORMAT,
        **asdict(form),
        "folders": listing.folders,
        "classes": listing.classes,
        "mean": mean.tolist(),
        "covariance": covariance.tolist(),
        "eigenvalues": eigenvalues.tolist(),
        "eigenvectors": vectors.T.tolist(),  # a row for each eigenvalue
        "splits": parts,
    }
    said = json.loads(json.dumps(said))  # as it will be read
    atomic_write(out / SET, json.dumps(said | {"checksum": checksum_of(said)}, indent=1) + "\n")
    (out / STATE).unlink()


def _context() -> Any:
    """Forks, which have the imports already. All are made before the pool starts its thread; the only others at that
    moment are numpy's and scipy's for matrices, which OpenBLAS itself ends before a fork and starts when needed."""
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


def _worker(parent: int) -> None:
    """A worker ends with its parent, and leaves Ctrl-C and a closed terminal to it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN if number in FROM_THE_TERMINAL else signal.SIG_DFL)
    die_with_parent(parent)
