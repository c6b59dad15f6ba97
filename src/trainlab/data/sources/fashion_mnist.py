"""Fashion-MNIST: 70,000 grey 28x28 photographs of clothes, from IDX files."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch

from trainlab.data.image_set import DataSplits, ImageSet, split
from trainlab.data.sources.download import download_once
from trainlab.errors import InputError

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts it
DOWNLOADED = Path("data/fashion_mnist")
PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
OTHERWISE = (
    "install Debian's package (apt-get install dataset-fashion-mnist) "
    "or set data.root=FOLDER to a folder with the four IDX files"
)


def load(
    *, root: str | None = None, download: bool = True, val_fraction: float = 0.1, split_seed: int = 0
) -> DataSplits:
    """60,000 training and 10,000 test images, uint8 (N, 1, 28, 28), in ten classes.

    `root`: the folder of the four IDX files, gzipped or not, or torchvision's folder around them. None means
    Debian's folder if its package is installed, else data/fashion_mnist. Where the files are in neither and
    `download` is true, torchvision downloads them (30 MB) into `root`. Validation is cut from training.
    Source: Xiao, Rasul and Vollgraf, 2017, https://github.com/zalandoresearch/fashion-mnist (MIT licence).
    Raises InputError for files that are missing, damaged or not Fashion-MNIST, and for a failed download.
    """
    default = DEBIAN if DEBIAN.is_dir() else DOWNLOADED
    folder = default if root is None else Path(root).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"data.root={folder} is a file",
            option="data.root",
            value=folder,
            hint="give the folder that holds the IDX files",
        )
    if _missing(folder) and download and folder != DEBIAN:
        from torchvision.datasets import FashionMNIST

        download_once(folder, lambda: not _missing(folder), lambda: FashionMNIST(folder, download=True), OTHERWISE)
    missing = _missing(folder)
    if missing:
        raise InputError(
            f"no file {missing[0]}-idx…-ubyte[.gz] in {folder}", hint=f"{OTHERWISE}, or set data.download=true"
        )
    return split(
        _read_set(folder, "train"),
        test=_read_set(folder, "t10k"),
        test_fraction=0,
        val_fraction=val_fraction,
        split_seed=split_seed,
    )


def _find(folder: Path, part: str) -> Path | None:
    """The IDX file of a part: train-images-idx3-ubyte or train-images.idx3-ubyte, gzipped or not."""
    dimensions = 3 if part.endswith("images") else 1
    for place in (folder, folder / "FashionMNIST" / "raw"):  # the second is torchvision's
        for name in (f"{part}-idx{dimensions}-ubyte", f"{part}.idx{dimensions}-ubyte"):
            for path in (place / name, place / f"{name}.gz"):
                if path.is_file():
                    return path
    return None


def _missing(folder: Path) -> list[str]:
    return [part for part in PARTS if _find(folder, part) is None]


def _read_set(folder: Path, prefix: str) -> ImageSet:
    images_file, labels_file = _find(folder, f"{prefix}-images"), _find(folder, f"{prefix}-labels")
    assert images_file is not None
    assert labels_file is not None
    images, labels = read_idx(images_file, dimensions=3), read_idx(labels_file, dimensions=1)
    if len(images) != len(labels):
        raise InputError(
            f"{images_file} holds {len(images)} images but {labels_file.name} {len(labels)} labels",
            hint="the two must belong together",
        )
    if images.shape[1:] != (28, 28) or not len(labels) or labels.max() >= len(CLASSES):
        raise InputError(f"{images_file} and its labels are not Fashion-MNIST (28x28, ten classes)", hint=OTHERWISE)
    return ImageSet(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels.astype(np.int64)), CLASSES)


def read_idx(path: Path, *, dimensions: int) -> np.ndarray:
    """The uint8 array in an IDX file (http://yann.lecun.com/exdb/mnist), gzipped if its name ends in .gz.

    Raises InputError unless it is an IDX file of bytes, with that many dimensions and exactly its length.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {path} ({error})", hint="delete it and get it again") from error
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, 8, dimensions)):  # 8: unsigned bytes
        raise InputError(f"{path} is not an IDX file of bytes in {dimensions} dimensions", hint="get it again")
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", dimensions, offset=4))
    length = header + math.prod(shape)
    if len(content) != length:
        raise InputError(
            f"{path} is damaged, {len(content):,} bytes where its header promises {length:,}",
            hint="delete it and get it again",
        )
    return np.frombuffer(bytearray(content), np.uint8, offset=header).reshape(shape)
