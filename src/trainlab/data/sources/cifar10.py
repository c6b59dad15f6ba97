"""CIFAR-10: 60,000 colour 32x32 photographs, from torchvision's archive or from folders of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from trainlab.data.image_set import DataSplits, ImageSet, split
from trainlab.data.sources import image_folder
from trainlab.data.sources.download import download_once
from trainlab.errors import InputError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
OTHERWISE = (
    "put cifar-10-python.tar.gz or the folders train/<class> and test/<class> there, "
    "or set data.root=FOLDER to where they are"
)


def load(
    *,
    root: str = "data/cifar10",
    download: bool = True,
    on_bad_image: str = "error",
    val_fraction: float = 0.1,
    split_seed: int = 0,
) -> DataSplits:
    """50,000 training and 10,000 test images, uint8 (N, 3, 32, 32), in ten classes.

    `root` holds the archive cifar-10-python.tar.gz, or its content cifar-10-batches-py, or the folders
    train/<class> and test/<class> of images (`on_bad_image` as in image_folder). If it holds none of them and
    `download` is true, torchvision downloads the archive (170 MB) into it. Validation is cut from training.
    Source: Krizhevsky, 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
    Raises InputError for data that are missing, damaged or not CIFAR-10, and for a failed download.
    """
    folder = Path(root).expanduser()
    if folder.name == "cifar-10-batches-py" and folder.is_dir():
        folder = folder.parent
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"data.root={folder} is a file", option="data.root", value=folder, hint="give the folder that holds it"
        )

    archive = any((folder / name).exists() for name in ("cifar-10-batches-py", "cifar-10-python.tar.gz"))
    if not archive and (folder / "train").is_dir() and (folder / "test").is_dir():
        for part in ("train", "test"):
            image_folder.check_classes(folder / part, CLASSES, "CIFAR-10")
        return image_folder.load(
            root=root,
            size=32,
            channels=3,
            on_bad_image=on_bad_image,
            val_fraction=val_fraction,
            split_seed=split_seed,
        )
    return _from_archive(folder, download, val_fraction, split_seed)


def _from_archive(folder: Path, download: bool, val_fraction: float, split_seed: int) -> DataSplits:
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity, extract_archive

    archive = folder / CIFAR10.filename

    def extracted() -> bool:
        files = (*CIFAR10.train_list, *CIFAR10.test_list)
        return all(check_integrity(folder / CIFAR10.base_folder / name, md5) for name, md5 in files)

    def extract() -> None:
        extract_archive(archive, folder)

    if not extracted():
        if check_integrity(archive, CIFAR10.tgz_md5):
            download_once(folder, extracted, extract, OTHERWISE)
        elif download:
            download_once(folder, extracted, lambda: CIFAR10(folder, download=True), OTHERWISE)
        else:
            state = "is damaged or incomplete" if archive.exists() else "is not there"
            raise InputError(f"CIFAR-10 {state} in {folder}", hint=f"{OTHERWISE}, or set data.download=true")

    def read(train: bool) -> ImageSet:
        data = CIFAR10(folder, train=train)
        pixels = np.ascontiguousarray(data.data)  # torchvision's view of the archive's planes, (N, H, W, C)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        return ImageSet(images, torch.tensor(data.targets, dtype=torch.int64), CLASSES)

    return split(read(True), test=read(False), test_fraction=0, val_fraction=val_fraction, split_seed=split_seed)
