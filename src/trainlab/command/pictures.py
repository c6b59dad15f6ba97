"""Pictures and points from outside, as a network takes them: files and folders that are named, images, arrays."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainlab.data.image_set import passed_over
from trainlab.data.packed.pictures import pictures_below, read_picture
from trainlab.errors import InputError
from trainlab.survival.trained import Trained

BATCH = 64  # pictures that a network is given at a time
KINDS = "a path, one of Pillow's images, or uint8 (C, H, W)"


def read_images(given: Sequence[str], trained: Trained) -> tuple[list[str], Tensor, list[str]]:
    """The pictures that a command names: their names, uint8 (N, C, S, S), and sentences about what is left out of
    folders. Raises InputError.
    """
    size, channels = trained.stored, trained.saved.facts.input_shape[0]
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    names: list[str] = []
    pixels: list[Tensor] = []
    skipped: list[str] = []
    remarks: list[str] = []

    def add(source: Any, name: str) -> None:
        pixels.append(read_picture(source, name=name, size=size, channels=channels))
        names.append(name)

    for word in given:
        path = Path(word)
        if word == "-":
            content = sys.stdin.buffer.read() if sys.stdin is not None else b""
            if not content:
                raise InputError("there is no picture on standard input.")
            add(io.BytesIO(content), "standard input")
        elif path.is_dir():
            files, hidden = pictures_below(path, suffixes=known)
            remarks += [passed_over(hidden)] if hidden else []
            if not files:
                raise InputError(f"the folder {path} holds no pictures of a format that Pillow opens.")
            for file in files:
                try:
                    add(path / file, file)
                except InputError as error:
                    skipped.append(f"left out: {error}")
        elif path.is_file():
            add(path, path.name)
        else:
            raise InputError(f"{word} does not exist", hint="name pictures, folders, or - for standard input")
    if not pixels:
        raise InputError(f"none of the pictures can be read; the first: {skipped[0]}")
    return names, torch.stack(pixels), skipped + remarks


def as_pictures(given: Any, trained: Trained) -> Tensor:
    """What `Network.predict` takes as pictures → uint8 (N, C, S, S) of the stored size, in their order.

    Raises InputError for what is none, naming its place.
    """
    if isinstance(given, Tensor | np.ndarray):
        array = tensor_of(given)
        if array.dtype != torch.uint8:
            raise InputError(f"images are uint8, 0 to 255, and these are {kind_of(array)}", hint="convert them first")
        if array.ndim not in (3, 4):
            raise InputError(f"images are (N, C, H, W), or (C, H, W) for one, and these are {kind_of(array)}.")
        given = array if array.ndim == 4 else array[None]
    elif isinstance(given, str | os.PathLike | Image.Image):
        given = [given]
    elif not isinstance(given, Iterable) or isinstance(given, bytes | dict):
        raise InputError(
            f"this is no picture but of type {type(given).__name__}", hint=f"give {KINDS}, or several in a list"
        )
    size, channels = trained.stored, trained.saved.facts.input_shape[0]
    if isinstance(given, Tensor) and len(given) and given.shape[1:] == (channels, size, size):
        return given
    pictures = [as_picture(one, place, size, channels) for place, one in enumerate(given)]
    if not pictures:
        raise InputError("there are no pictures to look at: the list is empty.")
    return torch.stack(pictures)


def as_picture(given: Any, place: int, size: int, channels: int) -> Tensor:
    """One picture as uint8 (channels, size, size), as `read_picture` makes it. place: its place in the list, for the
    error. Raises InputError.
    """
    if isinstance(given, Image.Image):
        return read_picture(given, name=f"number {place}", size=size, channels=channels)
    if isinstance(given, str | os.PathLike):
        if os.path.isdir(given):
            raise InputError(
                f"{given} is a folder", hint=f"list its pictures, such as sorted(Path('{given}').glob('*.jpg'))"
            )
        if not os.path.isfile(given):
            raise InputError(f"{given} does not exist", hint="name a picture")
        return read_picture(Path(given), size=size, channels=channels)
    if not isinstance(given, Tensor | np.ndarray):
        raise InputError(f"number {place} is no picture but of type {type(given).__name__}", hint=f"give {KINDS}")
    array = tensor_of(given)
    if array.dtype != torch.uint8 or array.ndim != 3 or array.shape[0] not in (1, 3) or 0 in array.shape:
        hint = "; put its channels first" if array.ndim == 3 and array.shape[-1] in (1, 3) else ""
        raise InputError(
            f"number {place} is {kind_of(array)}",
            hint=f"an image is uint8 (C, H, W) with one channel (grey) or three (red, green, blue){hint}",
        )
    if array.shape == (channels, size, size):
        return array
    pixels = array[0] if len(array) == 1 else array.permute(1, 2, 0)
    return read_picture(Image.fromarray(pixels.numpy()), name=f"number {place}", size=size, channels=channels)


def as_points(given: Any, features: int) -> Tensor:
    """What `Network.predict` takes as points, as float32 (N, features). Raises InputError."""
    try:
        points = tensor_of(given if isinstance(given, Tensor) else np.asarray(given))
    except (ValueError, TypeError) as error:
        raise InputError("these are no points", hint=f"give numbers, (N, {features})") from error
    if points.dtype in (torch.bool, torch.complex64, torch.complex128) or points.ndim not in (1, 2) or not len(points):
        raise InputError(f"points are numbers, (N, {features}), and these are {kind_of(points)}.")
    points = points.float() if points.ndim == 2 else points.float()[None]
    if points.shape[1] != features:
        raise InputError(f"the network was trained on points of {features} numbers, and these have {points.shape[1]}.")
    if not torch.isfinite(points).all():
        raise InputError("the points hold a NaN or an infinity", hint="leave those points out")
    return points


def tensor_of(array: Tensor | np.ndarray) -> Tensor:
    """The array as a tensor on the CPU. Raises InputError for a type that torch does not have."""
    if isinstance(array, Tensor):
        return array.detach().cpu()
    try:
        return torch.from_numpy(np.ascontiguousarray(array))
    except TypeError as error:
        raise InputError(f"an array of {array.dtype} holds no pictures and no points.") from error


def kind_of(array: Tensor) -> str:
    """Type and shape of a tensor in words: "float32 (4, 3, 8, 8)"."""
    return f"{str(array.dtype).removeprefix('torch.')} {tuple(array.shape)}"
