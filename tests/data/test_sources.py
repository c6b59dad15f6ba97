"""Every source against data and code that are not ours: scikit-learn, torchvision, Pillow, numpy."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import inspect
import os
import pickle
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image, ImageOps

from trainlab.data.image_set import NOTED, PASSED_OVER, DataSplits, ImageSet
from trainlab.data.packed.listing import list_images
from trainlab.data.packed.pictures import read_picture
from trainlab.data.packed.writer import Form, plan_of
from trainlab.data.sources import cifar10, digits, elpv, fashion_mnist, image_folder, points
from trainlab.errors import InputError

CONF = Path(__file__).parents[2] / "conf" / "data"
CONFIGS = ["digits", "moons", "circles", "linear", "fashion_mnist", "cifar10", "elpv", "image_folder"]


def rows(part: ImageSet) -> list[bytes]:
    return [image.numpy().tobytes() for image in part.images]


def all_rows(splits: DataSplits) -> list[bytes]:
    return rows(splits.train) + rows(splits.val) + rows(splits.test)


def shares(part: ImageSet) -> torch.Tensor:
    return torch.bincount(part.labels, minlength=len(part.classes)) / len(part)


# --- the configuration files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_config_names_every_argument_of_its_loader(name: str) -> None:
    cfg = OmegaConf.create({"data": OmegaConf.load(CONF / f"{name}.yaml")})
    if name == "image_folder":
        with pytest.raises(Exception, match="root"):  # mandatory: ???
            OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
        cfg.data.root = "somewhere"
    data: Any = OmegaConf.to_container(cfg.data, resolve=True)
    assert {"name", "val_fraction", "split_seed", "batch_size", "reflections"} <= set(data)
    assert data["name"] == name
    module, function = data["_target_"].rsplit(".", 1)
    parameters = inspect.signature(getattr(importlib.import_module(module), function)).parameters
    for key, parameter in parameters.items():
        assert parameter.kind is parameter.KEYWORD_ONLY
        if key == "pack":  # a function, which only a program can give
            continue
        if parameter.default is not parameter.empty:
            assert data[key] == parameter.default, f"{name}.yaml and the code differ in {key}"


# --- digits ----------------------------------------------------------------------------------------------------


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    splits = digits.load(test_fraction=0, val_fraction=0)
    images, labels = load_digits(return_X_y=True)
    assert splits.train.images.shape == (1797, 1, 8, 8)
    assert splits.train.images.dtype == torch.uint8
    assert splits.train.labels.tolist() == labels.tolist()
    # Every one of the 17 values comes back.
    back = (splits.train.images.flatten(1).numpy() / 255 * 16).round()
    np.testing.assert_array_equal(back, images)
    assert splits.train.images.max() == 255
    assert splits.train.classes == tuple("0123456789")
    assert len(splits.val) == len(splits.test) == 0


def test_digits_splits_are_disjoint_stratified_and_pure() -> None:
    a, b, c = digits.load(), digits.load(), digits.load(split_seed=1)
    assert [len(part) for part in (a.train, a.val, a.test)] == [1293, 144, 360]
    for part in (a.train, a.val, a.test):
        assert (shares(part) - 0.1).abs().max() < 0.012
    assert all_rows(a) == all_rows(b)
    assert rows(a.test) != rows(c.test)
    whole = digits.load(test_fraction=0, val_fraction=0)
    for splits in (a, c):
        assert sorted(all_rows(splits)) == sorted(rows(whole.train))  # nothing lost, nothing twice


def test_a_fraction_that_cannot_be_cut_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"cannot cut a fraction of 0\.999 .*data\.test_fraction"):
        digits.load(test_fraction=0.999)


# --- points ----------------------------------------------------------------------------------------------------


def sklearn_sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """As written in scikit-learn's plot_mlp_alpha.py."""
    from sklearn.datasets import make_circles, make_classification, make_moons

    X, y = make_classification(  # noqa: N806
        n_features=2, n_redundant=0, n_informative=2, random_state=0, n_clusters_per_class=1
    )
    rng = np.random.RandomState(2)
    X += 2 * rng.uniform(size=X.shape)  # noqa: N806
    return {
        "moons": make_moons(noise=0.3, random_state=0),
        "circles": make_circles(noise=0.2, factor=0.5, random_state=1),
        "linear": (X, y),
    }


@pytest.mark.parametrize("name", ["moons", "circles", "linear"])
def test_points_are_the_examples(name: str) -> None:
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    x, y = sklearn_sets()[name]
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.4, random_state=42)
    scaler = StandardScaler().fit(x_train)

    splits = getattr(points, name)(val_fraction=0)
    assert splits.train.images.dtype == torch.float32
    assert splits.test.labels.tolist() == y_test.tolist()
    np.testing.assert_allclose(splits.test.images, scaler.transform(x_test), rtol=0, atol=1e-6)
    np.testing.assert_allclose(splits.train.images, scaler.transform(x_train), rtol=0, atol=1e-6)
    assert splits.train.labels.tolist() == y_train.tolist()


@pytest.mark.parametrize("name", ["moons", "circles", "linear"])
def test_points_are_standardised_by_the_training_part_alone(name: str) -> None:
    splits = getattr(points, name)()
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [48, 12, 40]
    train = splits.train.images.double()
    torch.testing.assert_close(train.mean(0), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(train.std(0, correction=0), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-6)
    # One affine map for the three parts: undo it and the example's points are there, each once.
    x, _ = sklearn_sets()[name]
    whole = torch.cat([splits.train.images, splits.val.images, splits.test.images]).double().numpy()
    whole = (whole - whole.mean(0)) / whole.std(0)
    x = (x - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(whole[whole[:, 0].argsort()], x[x[:, 0].argsort()], rtol=0, atol=1e-5)


def test_the_test_points_do_not_depend_on_the_split_seed() -> None:
    a, b = points.moons(split_seed=0), points.moons(split_seed=1)
    assert a.test.labels.tolist() == b.test.labels.tolist()
    assert rows(a.val) != rows(b.val)
    assert all_rows(a) == all_rows(points.moons(split_seed=0))


def test_points_errors() -> None:
    with pytest.raises(InputError, match=r"data\.n_samples=3 .* 10 is the least"):
        points.moons(n_samples=3)
    with pytest.raises(InputError, match=r"data\.noise=-1"):
        points.linear(noise=-1)
    with pytest.raises(InputError, match=r"cannot cut a fraction of 1\.5 .* data\.test_fraction"):
        points.circles(test_fraction=1.5)


# --- Fashion-MNIST ---------------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    """The IDX format, from its description: two zeros, 8 for bytes, the dimensions, big-endian sizes, data."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_fashion(folder: Path, spelling: str = "{}-idx{}-ubyte.gz", n: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for part, count in (("train", n), ("t10k", 20)):
        arrays[f"{part}-images"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{part}-labels"] = np.arange(count, dtype=np.uint8) % 10
    for name, array in arrays.items():
        content = idx(array)
        path = folder / spelling.format(name, array.ndim)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return arrays


@pytest.mark.parametrize("spelling", ["{}-idx{}-ubyte.gz", "{}-idx{}-ubyte", "{}.idx{}-ubyte", "{}.idx{}-ubyte.gz"])
def test_idx_files_in_every_spelling(tmp_path: Path, spelling: str) -> None:
    arrays = write_fashion(tmp_path, spelling)
    splits = fashion_mnist.load(root=str(tmp_path), download=False, val_fraction=0)
    np.testing.assert_array_equal(splits.train.images[:, 0], arrays["train-images"])
    np.testing.assert_array_equal(splits.test.images[:, 0], arrays["t10k-images"])
    assert splits.train.labels.tolist() == arrays["train-labels"].tolist()
    assert len(splits.val) == 0


def test_idx_reader_agrees_with_torchvisions(tmp_path: Path) -> None:
    from torchvision.datasets import FashionMNIST

    write_fashion(tmp_path / "FashionMNIST" / "raw", "{}-idx{}-ubyte")  # torchvision's own place
    splits = fashion_mnist.load(root=str(tmp_path), download=False, val_fraction=0)
    for part, train in ((splits.train, True), (splits.test, False)):
        theirs = FashionMNIST(tmp_path, train=train)
        assert torch.equal(part.images[:, 0], theirs.data)
        assert torch.equal(part.labels, theirs.targets)
        assert part.classes == tuple(theirs.classes)


@pytest.mark.skipif(not fashion_mnist.DEBIAN.is_dir(), reason="the package dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist() -> None:
    from torchvision.datasets import FashionMNIST

    splits = fashion_mnist.load()
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [54_000, 6_000, 10_000]
    for part in (splits.train, splits.val, splits.test):
        assert torch.bincount(part.labels).tolist() == [len(part) // 10] * 10
    # The published mean and deviation of the 60,000 training images: 0.2860 and 0.3530.
    pixels = torch.cat([splits.train.images, splits.val.images]).double() / 255
    assert pixels.mean().item() == pytest.approx(0.2860, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3530, abs=5e-5)
    assert splits.test.labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    assert tuple(FashionMNIST.classes) == fashion_mnist.CLASSES


def test_fashion_mnist_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    def load() -> DataSplits:
        return fashion_mnist.load(root=str(tmp_path), download=False)

    with pytest.raises(InputError, match=r"no file train-images.*apt-get install dataset-fashion-mnist"):
        load()
    write_fashion(tmp_path)
    packed = tmp_path / "train-images-idx3-ubyte.gz"
    good = packed.read_bytes()

    packed.write_bytes(good[: len(good) // 2])
    with pytest.raises(InputError, match=r"cannot read .*train-images-idx3-ubyte\.gz"):
        load()
    packed.write_bytes(good[:200] + bytes([good[200] ^ 255]) + good[201:])
    with pytest.raises(InputError, match=r"cannot read .*train-images-idx3-ubyte\.gz"):
        load()
    packed.write_bytes(gzip.compress(gzip.decompress(good)[:-1]))
    with pytest.raises(InputError, match=r"is damaged, 31,375 bytes where its header promises 31,376"):
        load()
    packed.write_bytes(gzip.compress(b"\0\0\x0d\3" + gzip.decompress(good)[4:]))  # floats
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz is not an IDX file of bytes in 3 dim"):
        load()
    packed.write_bytes(gzip.compress(b"\0\0"))
    with pytest.raises(InputError, match="is not an IDX file"):
        load()
    packed.write_bytes(gzip.compress(idx(np.zeros((40, 32, 32), np.uint8))))
    with pytest.raises(InputError, match="are not Fashion-MNIST"):
        load()
    packed.write_bytes(gzip.compress(idx(np.zeros((39, 28, 28), np.uint8))))
    with pytest.raises(InputError, match=r"39 images but train-labels-idx1-ubyte\.gz 40 labels"):
        load()
    packed.write_bytes(good)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.full(20, 10, np.uint8))))
    with pytest.raises(InputError, match="are not Fashion-MNIST"):
        load()
    with pytest.raises(InputError, match="is a file; give the folder"):
        fashion_mnist.load(root=str(packed))


def test_fashion_mnist_is_looked_for_in_debians_folder_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    write_fashion(tmp_path / "data" / "fashion_mnist", n=30)
    assert len(fashion_mnist.load(val_fraction=0).train) == 30
    write_fashion(tmp_path / "debian", n=50)
    assert len(fashion_mnist.load(val_fraction=0).train) == 50


def refuse(*_: Any, **__: Any) -> None:
    raise OSError("<urlopen error [Errno -2] Name or service not known>")


def test_a_failed_download_says_what_else_to_do_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    with pytest.raises(InputError, match=r"apt-get install dataset-fashion-mnist.*data\.root=FOLDER"):
        fashion_mnist.load()
    with pytest.raises(InputError, match=r"download into .*there failed.*cifar-10-python\.tar\.gz.*data\.root="):
        cifar10.load(root="there")
    assert not (tmp_path / "data" / "fashion_mnist").exists()
    assert not (tmp_path / "there").exists()

    (tmp_path / "mine" / "empty").mkdir(parents=True)  # what was there before stays
    with pytest.raises(InputError, match="failed"):
        cifar10.load(root="mine")
    assert (tmp_path / "mine" / "empty").is_dir()


def test_a_download_is_read_when_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import FashionMNIST

    def fetch(self: FashionMNIST) -> None:
        write_fashion(Path(self.raw_folder), "{}-idx{}-ubyte")

    monkeypatch.setattr(FashionMNIST, "download", fetch)
    splits = fashion_mnist.load(root=str(tmp_path / "new" / "folder"), val_fraction=0)
    assert len(splits.train) == 40


# --- CIFAR-10 --------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, np.ndarray, list[int]]:
    """A small CIFAR-10 in the published format: five training batches of 20, a test batch, the names."""
    from torchvision.datasets import CIFAR10

    inner = tmp_path / "source" / "cifar-10-batches-py"
    inner.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (120, 3 * 32 * 32), dtype=np.uint8)
    labels = [int(k) for k in rng.permutation(np.arange(120) % 10)]

    def write(name: str, content: dict) -> list[str]:
        (inner / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((inner / name).read_bytes()).hexdigest()]

    batches = [
        write(name, {"data": pixels[20 * k : 20 * k + 20], "labels": labels[20 * k : 20 * k + 20]})
        for k, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"])
    ]
    meta = write("batches.meta", {"label_names": list(cifar10.CLASSES)})
    root = tmp_path / "root"
    root.mkdir()
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as packed:
        packed.add(inner, arcname=inner.name)
    monkeypatch.setattr(CIFAR10, "train_list", batches[:5])
    monkeypatch.setattr(CIFAR10, "test_list", batches[5:])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    md5 = hashlib.md5((root / "cifar-10-python.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5)
    return root, pixels.reshape(120, 3, 32, 32), labels


def test_the_archive_is_read_packed_and_unpacked(archive: tuple[Path, np.ndarray, list[int]]) -> None:
    root, pixels, labels = archive
    packed = cifar10.load(root=str(root), download=False, val_fraction=0)
    (root / "cifar-10-python.tar.gz").unlink()
    unpacked = cifar10.load(root=str(root), download=False, val_fraction=0)
    inner = cifar10.load(root=str(root / "cifar-10-batches-py"), download=False, val_fraction=0)
    for splits in (packed, unpacked, inner):
        np.testing.assert_array_equal(splits.train.images, pixels[:100])
        np.testing.assert_array_equal(splits.test.images, pixels[100:])
        assert splits.train.labels.tolist() + splits.test.labels.tolist() == labels
        assert splits.train.images.is_contiguous(memory_format=torch.channels_last)
    assert len(cifar10.load(root=str(root), val_fraction=0.2).val) == 20


def test_a_damaged_archive_is_named(archive: tuple[Path, np.ndarray, list[int]]) -> None:
    root, _, _ = archive
    packed = root / "cifar-10-python.tar.gz"
    packed.write_bytes(packed.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"CIFAR-10 is damaged or incomplete in .*data\.download=true"):
        cifar10.load(root=str(root), download=False)
    packed.unlink()
    with pytest.raises(InputError, match=r"CIFAR-10 is not there in .*train/<class>.*data\.root=FOLDER"):
        cifar10.load(root=str(root), download=False)


def cifar_tree(root: Path) -> None:
    for part in ("train", "test"):
        for k, name in enumerate(cifar10.CLASSES):
            for n in range(2):
                picture(root / part / name / f"{n}.png", (32, 32), seed=100 * k + n)


def test_folders_of_cifar(tmp_path: Path) -> None:
    cifar_tree(tmp_path)
    splits = cifar10.load(root=str(tmp_path), val_fraction=0.5)
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [10, 10, 20]
    with Image.open(tmp_path / "test" / "bird" / "1.png") as image:
        np.testing.assert_array_equal(splits.test.images[5], np.asarray(image).transpose(2, 0, 1))
    (tmp_path / "train" / "bird" / "2.jpg").write_bytes(b"no")
    with pytest.raises(InputError, match=r"bird/2\.jpg"):
        cifar10.load(root=str(tmp_path))
    splits = cifar10.load(root=str(tmp_path), on_bad_image="skip", val_fraction=0)
    assert splits.notes == {"skipped_images": 1}
    (tmp_path / "test" / "bird").rename(tmp_path / "test" / "crow")
    with pytest.raises(InputError, match=r"not those of CIFAR-10 \(bird is missing or .*data=image_folder"):
        cifar10.load(root=str(tmp_path))


@pytest.mark.run
def test_the_real_cifar10() -> None:
    root = os.environ.get("TRAINLAB_CIFAR10")
    if not root:
        pytest.skip("TRAINLAB_CIFAR10 does not name a folder with CIFAR-10")
    splits = cifar10.load(root=root, download=False)
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [45_000, 5_000, 10_000]
    for part in (splits.train, splits.val, splits.test):
        assert torch.bincount(part.labels).tolist() == [len(part) // 10] * 10
    # The published mean of the training images; JPEG leaves it within a thousandth.
    summed = sum(part.images.sum((0, 2, 3)) for part in (splits.train, splits.val))
    mean = summed.double() / (50_000 * 32 * 32 * 255)
    torch.testing.assert_close(mean, torch.tensor([0.4914, 0.4822, 0.4465]).double(), rtol=0, atol=1e-3)


# --- ELPV ------------------------------------------------------------------------------------------------------


@pytest.mark.run
def test_elpv_is_the_packages_own() -> None:
    utils = pytest.importorskip("elpv_dataset.utils", reason="elpv-dataset is not installed")
    images, probabilities, _ = utils.load_dataset()
    whole = elpv.load(classes=4, size=300, test_fraction=0, val_fraction=0).train  # 300: nothing to scale
    np.testing.assert_array_equal(whole.images[:, 0], images)
    np.testing.assert_allclose(whole.labels / 3, probabilities, atol=1e-6)
    assert whole.classes == ("0", "1/3", "2/3", "1")

    splits = elpv.load(size=32)
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [1771, 197, 656]
    assert splits.train.images.shape[1:] == (1, 32, 32)
    defective = sum(int(part.labels.sum()) for part in (splits.train, splits.val, splits.test))
    assert defective == int((probabilities >= 0.5).sum()) == 821
    for part in (splits.train, splits.val, splits.test):
        assert shares(part)[1].item() == pytest.approx(821 / 2624, abs=0.003)


def test_elpv_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"data\.classes=3 is not one of 2"):
        elpv.load(classes=3)
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)  # as if it were not installed
    with pytest.raises(InputError, match=r"data=elpv needs the package elpv-dataset: pip install"):
        elpv.load()


# --- single pictures -------------------------------------------------------------------------------------------


def noise(size: tuple[int, int], channels: int = 3, seed: int = 0) -> np.ndarray:
    """uint8 (H, W, channels), or (H, W) for one channel; `size` is (W, H), as Pillow's."""
    array = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return array[:, :, 0] if channels == 1 else array


def picture(path: Path, size: tuple[int, int] = (8, 8), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(size, seed=seed)).save(path)
    return path


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def hwc(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


def on_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[:, :, 3:] / 255
    return rgba[:, :, :3] * alpha + 255 * (1 - alpha)


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tif", "jpg", "webp", "gif"])
def test_rgb_of_every_format_is_pillows(tmp_path: Path, suffix: str) -> None:
    path = picture(tmp_path / f"a.{suffix}")
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(hwc(read_picture(path, size=8)), expected)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("L"))
    np.testing.assert_array_equal(read_picture(path, size=8, channels=1)[0], expected)


def test_grey_and_one_bit(tmp_path: Path) -> None:
    grey = noise((8, 8), 1)
    path = saved(tmp_path / "l.png", Image.fromarray(grey))
    np.testing.assert_array_equal(read_picture(path, size=8, channels=1)[0], grey)
    np.testing.assert_array_equal(read_picture(path, size=8), np.stack([grey] * 3))
    bits = grey > 127
    path = saved(tmp_path / "1.png", Image.fromarray(bits))
    np.testing.assert_array_equal(read_picture(path, size=8, channels=1)[0], bits * np.uint8(255))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_rounded_to_eight(tmp_path: Path, suffix: str) -> None:
    wide = np.random.default_rng(0).integers(0, 65536, (8, 8), dtype=np.uint16)
    wide[0, :2] = 0, 65535
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(wide))
    expected = np.round(wide / 65535 * 255)
    np.testing.assert_array_equal(read_picture(path, size=8, channels=1)[0], expected)
    np.testing.assert_array_equal(read_picture(path, size=8)[2], expected)


def test_numbers_of_unknown_range_are_refused(tmp_path: Path) -> None:
    floats = saved(tmp_path / "f.tif", Image.fromarray(np.random.default_rng(0).random((8, 8), np.float32)))
    wide = saved(tmp_path / "i.tif", Image.fromarray(np.full((8, 8), 100_000, np.int32)))
    for path in (floats, wide):
        with pytest.raises(InputError, match=rf"{path.name} \(its pixels are .* of unknown range\)"):
            read_picture(path, size=8)


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    rgba = noise((8, 8), 4)
    path = saved(tmp_path / "rgba.png", Image.fromarray(rgba, "RGBA"))
    np.testing.assert_allclose(hwc(read_picture(path, size=8)), on_white(rgba), atol=1)

    la = noise((8, 8), 2)
    path = saved(tmp_path / "la.png", Image.fromarray(la, "LA"))
    expected = la[:, :, 0] * (la[:, :, 1] / 255) + 255 - la[:, :, 1].astype(float)
    np.testing.assert_allclose(read_picture(path, size=8, channels=1)[0], expected, atol=1)

    # A palette, one entry of which is transparent, as in most GIFs.
    indices = noise((8, 8), 1) % 4
    image = Image.fromarray(indices, "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    colours = np.array([[255, 0, 0], [0, 255, 0], [255, 255, 255], [9, 9, 9]])
    for name in ("p.png", "p.gif"):
        path = saved(tmp_path / name, image, transparency=2)
        np.testing.assert_array_equal(hwc(read_picture(path, size=8)), colours[indices])

    # One colour of an RGB image is declared transparent.
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[:4] = 10, 20, 30
    path = saved(tmp_path / "trns.png", Image.fromarray(rgb), transparency=(10, 20, 30))
    expected_rgb = rgb.copy()
    expected_rgb[:4] = 255
    np.testing.assert_array_equal(hwc(read_picture(path, size=8)), expected_rgb)


def test_cmyk(tmp_path: Path) -> None:
    path = saved(tmp_path / "cmyk.jpg", Image.fromarray(noise((8, 8), 4), "CMYK"))
    with Image.open(path) as image:
        assert image.mode == "CMYK"
        expected = image.convert("RGB")
    np.testing.assert_array_equal(hwc(read_picture(path, size=8)), np.asarray(expected))
    np.testing.assert_array_equal(read_picture(path, size=8, channels=1)[0], np.asarray(expected.convert("L")))


@pytest.mark.parametrize("suffix", ["png", "tif"])  # Pillow turns TIFFs by itself
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(noise((8, 8))), exif=exif)
    # The standard's meaning: where row 0 and column 0 of what is stored belong.
    stored = noise((8, 8))
    turned = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored),
    }
    np.testing.assert_array_equal(hwc(read_picture(path, size=8)), turned[orientation])


def test_a_broken_exif_block_does_not_spoil_a_picture(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(noise((8, 8))), exif=b"Exif\0\0nonsense")
    with pytest.raises(SyntaxError), Image.open(path) as image:
        ImageOps.exif_transpose(image)  # the case is real: Pillow alone fails
    assert read_picture(path, size=8).shape == (3, 8, 8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_what_pillow_shows(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    y, x = np.mgrid[0:300, 0:500]
    smooth = np.stack([x / 2, y / 2, 120 + 0 * x], axis=2).astype(np.uint8)
    path = saved(tmp_path / "a.jpg", Image.fromarray(smooth), exif=exif, quality=98)
    with Image.open(path) as image:
        expected = ImageOps.fit(ImageOps.exif_transpose(image), (16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(hwc(read_picture(path, size=16)).astype(int), np.asarray(expected).astype(int), atol=2)


@pytest.mark.parametrize("shape", [(200, 100), (100, 200), (100, 100), (148, 100), (1000, 100)])
def test_scaling_and_cropping_are_torchvisions(tmp_path: Path, shape: tuple[int, int]) -> None:
    from torchvision.transforms import CenterCrop, Compose, Resize

    path = picture(tmp_path / "a.png", shape)
    with Image.open(path) as image:
        expected = np.asarray(Compose([Resize(50), CenterCrop(50)])(image))
    np.testing.assert_allclose(hwc(read_picture(path, size=50)).astype(int), expected.astype(int), atol=1)


def test_scaling_down_is_antialiased(tmp_path: Path) -> None:
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    path = saved(tmp_path / "a.png", Image.fromarray(board))
    small = read_picture(path, size=16, channels=1)
    assert small.min() >= 126
    assert small.max() <= 129


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (1, 500), (10_000, 3), (10_000, 40)])
def test_pictures_of_any_shape(tmp_path: Path, shape: tuple[int, int]) -> None:
    for suffix in ("png", "jpg"):
        assert read_picture(picture(tmp_path / f"a.{suffix}", shape), size=64).shape == (3, 64, 64)


def test_a_large_jpeg_is_nearly_what_full_decoding_gives(tmp_path: Path) -> None:
    y, x = np.mgrid[0:1500, 0:2000]
    smooth = np.stack([127 + 120 * np.sin(x / 90), 127 + 120 * np.cos(y / 70), (x + y) / 14], axis=2)
    path = saved(tmp_path / "a.jpg", Image.fromarray(smooth.astype(np.uint8)), quality=95)
    with Image.open(path) as image:
        expected = image.convert("RGB").crop((250, 0, 1750, 1500)).resize((64, 64), Image.Resampling.BILINEAR)
    difference = np.abs(hwc(read_picture(path, size=64)).astype(int) - np.asarray(expected).astype(int))
    assert difference.max() <= 5  # at the edge, where JPEG pads to whole blocks
    assert difference.mean() < 0.5


# --- folders of pictures ---------------------------------------------------------------------------------------


def tree(root: Path, classes: str = "ab", n: int = 10) -> Path:
    for k, name in enumerate(classes):
        for index in range(n):
            picture(root / name / f"{index:02d}.png", seed=100 * k + index)
    return root


def load(root: Path, **options: Any) -> DataSplits:
    return image_folder.load(root=str(root), **{"size": 8, **options})


def test_a_plain_tree_is_cut_into_three(tmp_path: Path) -> None:
    tree(tmp_path, "abc", n=20)
    splits = load(tmp_path)
    assert splits.train.classes == ("a", "b", "c")
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [43, 5, 12]
    assert torch.bincount(splits.test.labels).tolist() == [4, 4, 4]
    assert len(set(all_rows(splits))) == 60
    assert all_rows(splits) == all_rows(load(tmp_path))
    assert rows(splits.test) != rows(load(tmp_path, split_seed=1).test)
    assert splits.notes == {}

    whole = load(tmp_path, test_fraction=0, val_fraction=0).train
    expected = [np.asarray(Image.open(path)) for path in sorted(tmp_path.glob("*/*.png"))]
    np.testing.assert_array_equal(whole.images.permute(0, 2, 3, 1), np.stack(expected))
    assert whole.labels.tolist() == [0] * 20 + [1] * 20 + [2] * 20


def test_the_home_folder_and_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path / "set")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for root in ("~/set", "set"):
        assert len(image_folder.load(root=root, test_fraction=0, val_fraction=0).train) == 20


def test_what_counts_as_an_image(tmp_path: Path) -> None:
    tree(tmp_path, n=4)
    picture(tmp_path / "a" / "deep" / "er" / "x.JPG")
    picture(tmp_path / "a" / ".hidden.png")
    picture(tmp_path / "a" / ".thumbnails" / "y.png")
    picture(tmp_path / ".cache" / "z.png")
    (tmp_path / "a" / "._00.png").write_bytes(b"what macOS leaves on foreign disks")
    (tmp_path / "a" / "notes.txt").write_text("no")
    (tmp_path / "readme.txt").write_text("no")
    whole = load(tmp_path, test_fraction=0, val_fraction=0).train
    assert whole.classes == ("a", "b")
    assert torch.bincount(whole.labels).tolist() == [5, 4]


def layouts() -> list[tuple[str, str, tuple[int, int, int]]]:
    """Folders, and how many of 20 training, 6 validation and 8 test images end up where (val_fraction 0.1)."""
    return [
        ("train", "", (14, 2, 4)),
        ("train test", "", (18, 2, 8)),
        ("train val", "", (18, 2, 6)),
        ("train val test", "", (20, 6, 8)),
        ("train valid test", "", (20, 6, 8)),
        ("train validation test", "", (20, 6, 8)),
        ("train val test", "notes", (20, 6, 8)),
    ]


@pytest.mark.parametrize(("parts", "other", "sizes"), layouts())
def test_layouts(tmp_path: Path, parts: str, other: str, sizes: tuple[int, int, int]) -> None:
    counts = {"train": 10, "test": 4}
    for name in parts.split():
        tree(tmp_path / name, n=counts.get(name, 3))
    if other:
        (tmp_path / other).mkdir()
    splits = load(tmp_path)
    assert (len(splits.train), len(splits.val), len(splits.test)) == sizes
    if parts == "train val":  # the folder is the test set, whole
        expected = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "val").glob("*/*.png"))]
        np.testing.assert_array_equal(splits.test.images.permute(0, 2, 3, 1), np.stack(expected))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("train", "plane"):
        for n in range(10):
            picture(tmp_path / name / f"{n}.png", seed=n)
    assert load(tmp_path).train.classes == ("plane", "train")


def test_a_test_set_may_lack_a_class(tmp_path: Path) -> None:
    tree(tmp_path / "train", "abc")
    tree(tmp_path / "test", "ac", n=2)
    assert load(tmp_path).test.labels.tolist() == [0, 0, 2, 2]


Spoil = Callable[[Path], object]


def empty_class(root: Path) -> None:
    (tree(root) / "c").mkdir()


def strange_class(root: Path) -> None:
    tree(root / "train", "ab")
    tree(root / "test", "az")


def flat_test(root: Path) -> None:
    tree(root / "train", "ab")
    picture(root / "test" / "0.png")


def no_train(root: Path) -> None:
    tree(root / "test")
    tree(root / "val")


def two_validations(root: Path) -> None:
    for name in ("train", "val", "valid"):
        tree(root / name)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda root: None, r"root does not exist; give a folder"),
        (lambda root: picture(root.with_suffix(".png")).rename(root), r"root is a file; give a folder"),
        (lambda root: root.mkdir(), r"root holds no folders; put the images of each class"),
        (lambda root: picture(root / "0.png"), r"root holds no folders; put the images of each class"),
        (lambda root: tree(root, "a"), r"root holds only one class, a;"),
        (lambda root: tree(root / "train", "a"), r"train holds only one class, a;"),
        (empty_class, r"class folder .*root/c holds no images"),
        (strange_class, r"the class z is in .*test but not in .*train"),
        (flat_test, r"test holds no folders; put the images"),
        (no_train, r"root holds test but no train; put"),
        (two_validations, r"root holds both val and valid;"),
    ],
)
def test_folder_errors(tmp_path: Path, spoil: Spoil, sentence: str) -> None:
    spoil(tmp_path / "root")
    with pytest.raises(InputError, match=sentence):
        load(tmp_path / "root")


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"channels": 4}, r"data\.channels=4 is not one of 1 and 3"),
        ({"on_bad_image": "ignore"}, r"data\.on_bad_image=ignore is not one of error and skip"),
        ({"size": 0}, r"data\.size=0 must be at least 1"),
        ({"size": 10**8}, r"GB of memory, and only .* are free; set a smaller data\.size"),
    ],
)
def test_option_errors(tmp_path: Path, option: dict[str, Any], sentence: str) -> None:
    tree(tmp_path)
    with pytest.raises(InputError, match=sentence):
        load(tmp_path, **option)


def bomb() -> bytes:
    """A PNG of a hundred bytes that claims 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def bad_files(tmp_path: Path) -> dict[str, bytes]:
    good_png = picture(tmp_path / "good.png", (40, 40)).read_bytes()
    good_jpg = picture(tmp_path / "good.jpg", (40, 40)).read_bytes()
    return {
        "empty.png": b"",
        "text.jpg": b"<html>404 Not Found</html>",
        "short.png": good_png[: len(good_png) // 2],
        "short.jpg": good_jpg[: len(good_jpg) // 2],
        "flipped.png": good_png[:60] + bytes([good_png[60] ^ 255]) + good_png[61:],
        "bomb.png": bomb(),
    }


@pytest.mark.parametrize("large", [False, True], ids=["one thread", "many threads"])
def test_images_that_cannot_be_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    monkeypatch.setattr("trainlab.data.packed.pictures.SMALL_FILE", 0 if large else 10**9)
    root = tree(tmp_path / "root")
    expected = rows(load(root, test_fraction=0, val_fraction=0).train)
    spoilt = bad_files(tmp_path)
    for name, content in spoilt.items():
        (root / "a" / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"cannot decode the image .*root/a/{name} .*data\.on_bad_image=skip"):
            load(root)
        (root / "a" / name).unlink()
    for name, content in spoilt.items():
        (root / "a" / name).write_bytes(content)
    (root / "a" / "link.png").symlink_to("nowhere.png")
    splits = load(root, on_bad_image="skip", test_fraction=0, val_fraction=0)
    assert splits.notes == {"skipped_images": len(spoilt) + 1}
    assert rows(splits.train) == expected
    assert splits.train.labels.tolist() == [0] * 10 + [1] * 10


def test_a_class_of_nothing_but_bad_images_is_named(tmp_path: Path) -> None:
    (tree(tmp_path) / "c").mkdir()
    (tmp_path / "c" / "0.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"no image in .*/c can be decoded"):
        load(tmp_path, on_bad_image="skip")


# --- what systems leave in folders ------------------------------------------------------------------------------

FOLDERS = ("__MACOSX", ".ipynb_checkpoints", "@eaDir", "$RECYCLE.BIN", "lost+found", "System Volume Information")
FILES = ("Thumbs.db", ".DS_Store", "._00.png", ".hidden.png", "desktop.ini", "DESKTOP.INI")


def litter(folder: Path) -> int:
    """Put all of it in there, with pictures inside of the folders; how many names that are."""
    for name in FOLDERS:
        picture(folder / name / "inside" / "00.png")
    for name in FILES:
        (folder / name).write_bytes(b"no picture")
    return len(FOLDERS) + len(FILES)


@pytest.mark.parametrize("parts", ["", "train", "train test", "train val test"])
def test_what_systems_leave_in_folders_is_passed_over_and_counted(tmp_path: Path, parts: str) -> None:
    places = [tmp_path / "set" / part for part in parts.split()] or [tmp_path / "set"]
    for place in places:
        tree(place)
    clean = load(tmp_path / "set")
    listed = list_images(tmp_path / "set") if parts != "train test" else None
    littered = {tmp_path / "set", *places, *(place / name for place in places for name in "ab")}
    count = sum(litter(folder) for folder in littered)
    (places[0] / "a" / "deep").mkdir()
    count += litter(places[0] / "a" / "deep")
    splits = load(tmp_path / "set")
    assert splits.train.classes == clean.train.classes == ("a", "b")
    assert all_rows(splits) == all_rows(clean)
    assert clean.notes == {}
    assert splits.notes == {PASSED_OVER: count}
    if listed is not None:
        again = list_images(tmp_path / "set")
        assert plan_of(again, Form(8)) == plan_of(listed, Form(8))
        assert (again.folders, listed.passed_over, again.passed_over) == (("a", "b"), 0, count)


def test_what_systems_leave_among_cifars_folders_is_passed_over(tmp_path: Path) -> None:
    cifar_tree(tmp_path)
    clean = cifar10.load(root=str(tmp_path), val_fraction=0.5)
    count = sum(litter(place) for place in (tmp_path, tmp_path / "train", tmp_path / "test", tmp_path / "test/cat"))
    splits = cifar10.load(root=str(tmp_path), val_fraction=0.5)
    assert all_rows(splits) == all_rows(clean)
    assert splits.notes == {PASSED_OVER: count}


def test_a_remark_is_a_sentence_for_every_note_of_one_and_of_many() -> None:
    for one, many in NOTED.values():
        assert one.startswith("1 ")
        assert many.format(1234).startswith("1,234 ")
