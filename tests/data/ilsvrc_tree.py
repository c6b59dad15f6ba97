"""A small ILSVRC: folders, flat val with a devkit, or tar files, with all that is odd in the real one."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

WNIDS = ("n01440764", "n01443537", "n02012849")
WORDS = ("tench, Tinca tinca", "goldfish, Carassius auratus", "crane")


def picture(seed: int, width: int, height: int) -> Image.Image:
    """Smooth, so that JPEG and scaling are tame."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pictures(count: int) -> dict[str, dict[str, bytes]]:
    """Training: by class and name. Among them every oddity; two cannot be decoded."""
    tree: dict[str, dict[str, bytes]] = {}
    for label, wnid in enumerate(WNIDS):
        sizes = [(50 + 7 * i % 60, 40 + 11 * i % 50) for i in range(count)]
        tree[wnid] = {
            f"{wnid}_{i}.JPEG": encoded(picture(1000 * label + i, *size), quality=92) for i, size in enumerate(sizes)
        }
    turned = Image.Exif()
    turned[0x0112] = 6
    odd = {
        "cmyk": encoded(picture(1, 60, 50).convert("CMYK")),
        "png": encoded(picture(2, 60, 50), "PNG"),
        "grey": encoded(picture(3, 60, 50).convert("L")),
        "turned": encoded(picture(4, 60, 50), exif=turned),
        "tiny": encoded(picture(5, 3, 2)),
        "wide": encoded(picture(6, 10_000, 40)),
        "truncated": encoded(picture(7, 200, 200))[:700],
        "text": b"this is no picture",
    }
    tree[WNIDS[0]] |= {f"{WNIDS[0]}_odd_{name}.JPEG": content for name, content in odd.items()}
    return tree


def validation(count: int) -> list[tuple[str, str, bytes]]:
    """(class, name, content)."""
    return [
        (WNIDS[i % 3], f"ILSVRC2012_val_{i + 1:08d}.JPEG", encoded(picture(5000 + i, 64, 48))) for i in range(count)
    ]


def make_folders(root: Path, count: int = 20, *, flat: bool = False) -> Path:
    for wnid, files in pictures(count).items():
        (root / "train" / wnid).mkdir(parents=True)
        for name, content in files.items():
            (root / "train" / wnid / name).write_bytes(content)
    for wnid, name, content in validation(12):
        folder = root / "val" if flat else root / "val" / wnid
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return root


def make_devkit(root: Path, *, packed: bool) -> None:
    """ILSVRC's own numbers are not in the order of the WordNet ids."""
    numbers = {wnid: 3 - label for label, wnid in enumerate(WNIDS)}
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
    rows = [(numbers[w], w, words, "", 0) for w, words in zip(WNIDS, WORDS, strict=True)]
    rows.append((4, "n00000001", "fish", "", 2))
    meta = io.BytesIO()
    savemat(meta, {"synsets": np.array(rows, dtype=kind)})
    truth = "\n".join(str(numbers[wnid]) for wnid, _, _ in validation(12)) + "\n"
    files = {"data/meta.mat": meta.getvalue(), "data/ILSVRC2012_validation_ground_truth.txt": truth.encode()}
    if packed:
        with tarfile.open(root / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
            for name, content in files.items():
                _add(archive, f"ILSVRC2012_devkit_t12/{name}", content)
    else:
        for name, content in files.items():
            path = root / "ILSVRC2012_devkit_t12" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def make_tars(root: Path, count: int = 20) -> Path:
    with tarfile.open(root / "ILSVRC2012_img_train.tar", "w") as outer:
        for wnid, files in pictures(count).items():
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for name, content in files.items():
                    _add(archive, name, content)
            _add(outer, f"{wnid}.tar", inner.getvalue())
    with tarfile.open(root / "ILSVRC2012_img_val.tar", "w") as archive:
        for _, name, content in validation(12):
            _add(archive, name, content)
    make_devkit(root, packed=True)
    return root


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
