"""Picture files of any kind as uint8 arrays of one size."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from trainlab.errors import InputError
from trainlab.runtime.room import free_memory, gigabytes

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))

# What systems and programs put into folders, beside what begins with a dot; case does not matter
SYSTEM_NAMES = frozenset(
    (
        "__macosx",
        "icon\r",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "lost+found",
        "@eadir",
        "#recycle",
        "#snapshot",
        "@recycle",
        "@recently-snapshot",
    )
)

# Below this, opening a file costs more than decoding it, and opening holds Python's lock: two threads read
# the 32x32 JPEGs of CIFAR-10 at 3,000 a second, one thread at 6,000. Photographs gain from every core.
SMALL_FILE = 8192  # bytes

# EXIF orientation to what undoes it. A centre square may be turned after it is cut, when it is small.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def is_passed_over(name: str) -> bool:
    """Whether a file or folder of that name is hidden or a system's, and so neither a picture nor a class."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def passed_over_in(folder: Path) -> int:
    """How many hidden and system names are directly in the folder; folders below are not looked into."""
    return sum(is_passed_over(name) for name in os.listdir(folder))


def pictures_below(
    folder: Path, *, suffixes: Container[str] = SUFFIXES, follow_links: bool = False
) -> tuple[list[str], int]:
    """The pictures below a folder, relative to it, sorted; and how many hidden and system names are passed over.

    follow_links: whether folders that are symbolic links are looked into.
    """
    found: list[str] = []
    passed_over = 0

    def wanted(names: Iterable[str]) -> list[str]:
        nonlocal passed_over
        every = list(names)
        left = [name for name in every if not is_passed_over(name)]
        passed_over += len(every) - len(left)
        return left

    for place, folders, files in os.walk(folder, followlinks=follow_links):
        folders[:] = wanted(folders)
        inside = os.path.relpath(place, folder)
        pictures = [name for name in wanted(files) if os.path.splitext(name)[1].lower() in suffixes]
        found += pictures if inside == "." else [os.path.join(inside, name) for name in pictures]
    return sorted(found), passed_over


def read_picture(
    source: Path | BinaryIO | Image.Image, *, size: int, channels: int = 3, name: str | None = None
) -> Tensor:
    """The centre square of a picture, scaled to size x size with antialiasing. uint8 (channels, size, size).

    The same as scaling the short side to `size` and cutting out the centre. Channels: 1 (grey) or 3 (RGB),
    whatever the file holds: transparent parts are shown on white, 16 bits are rounded to 8, the first frame
    of an animation is taken, EXIF orientation is applied. JPEGs of at least four times `size` are decoded at
    a half, a quarter or an eighth of their size, never below 2 x `size`, as Pillow's thumbnails are.
    Raises InputError for what cannot be decoded; `name` is what it calls an open file.
    """
    pixels = decode(source, name or str(source), size=size, channels=channels)
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def read_pictures(paths: Sequence[Path], *, size: int, channels: int, on_bad_image: str) -> tuple[Tensor, Tensor]:
    """All `paths` as `read_picture` reads them, uint8 (n, channels, size, size), and which of them these are.

    The second is int64 (n,), indices into `paths`: all of them, in order, unless `on_bad_image` is "skip"
    and some cannot be decoded. With "error" the first such file raises InputError.
    """
    for name, value, allowed in (
        ("channels", channels, (1, 3)),
        ("on_bad_image", on_bad_image, ("error", "skip")),
    ):
        if value not in allowed:
            raise InputError(f"data.{name}={value} is not one of {allowed[0]} and {allowed[1]}.")
    if size < 1:
        raise InputError(f"data.size={size} must be at least 1 pixel.", option="data.size", value=size)
    needed = len(paths) * channels * size * size
    if needed > free_memory():
        raise InputError(
            f"{len(paths)} images at data.size={size} need {gigabytes(needed)} of memory, and only "
            f"{gigabytes(free_memory())} are free",
            hint="set a smaller data.size",
        )
    images = np.empty((len(paths), size, size, channels), dtype=np.uint8)

    def read(index: int) -> bool:
        try:
            images[index] = decode(paths[index], str(paths[index]), size=size, channels=channels)
        except InputError as error:
            if on_bad_image == "skip":
                return False
            raise InputError(str(error).rstrip("."), hint="remove it, or set data.on_bad_image=skip") from error
        return True

    indices = range(len(paths))
    sample = paths[:: len(paths) // 100 + 1]
    if sum(path.stat().st_size for path in sample if path.exists()) < SMALL_FILE * len(sample):
        good = np.array([read(index) for index in indices])
    else:
        with ThreadPoolExecutor() as threads:
            good = np.array(list(threads.map(read, indices)))
    kept = np.flatnonzero(good)
    images = images if good.all() else images[kept]
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(kept)


def decode(source: Path | BinaryIO | Image.Image, name: str, *, size: int, channels: int = 3) -> np.ndarray:
    """Decode one picture as `read_picture` describes it: uint8 (size, size, channels). source: a file, an open file
    or one of Pillow's images. name: what errors call it. Raises InputError.
    """
    try:
        with nullcontext(source) if isinstance(source, Image.Image) else Image.open(source) as image:
            # For JPEG files only, and then with the picture's exact extent; an image that is in memory stays as it is.
            drafted = None if image is source else image.draft(None, (2 * size, 2 * size))
            image.load()
            width, height = drafted[1][2:] if drafted else image.size
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            square = (
                _eight_bits(image)
                .convert("RGB" if channels == 3 else "L")
                .resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
            )
            orientation = None
            with contextlib.suppress(Exception):  # a broken EXIF block does not spoil the picture
                orientation = image.getexif().get(ExifTags.Base.Orientation)
    except UnidentifiedImageError as error:
        raise InputError(f"cannot decode the image {name} (it is no picture of a kind that Pillow knows).") from error
    except Exception as error:  # Pillow's plug-ins raise OSError, SyntaxError, ValueError, struct.error, bombs...
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise InputError(f"cannot decode the image {name} ({reason}).") from error
    if orientation in TURNS:
        square = square.transpose(TURNS[orientation])
    pixels = np.asarray(square)
    return pixels[..., None] if channels == 1 else pixels


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image in some mode of 8 bits or fewer, without transparency."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.mode.startswith("I"):  # 16 bits, also where Pillow holds them in 32
        wide = np.asarray(image).astype(np.int64)
        if wide.min() < 0 or wide.max() > 65535:
            raise ValueError("its pixels are 32-bit numbers of unknown range")
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8))  # 65535 = 255 * 257
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image
