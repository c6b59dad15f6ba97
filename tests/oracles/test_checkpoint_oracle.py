"""Files that are not this project's checkpoints: one sentence, and nothing in them is run."""

import pickle
import random
from pathlib import Path

import pytest
import torch

from trainlab.errors import InputError
from trainlab.models.mlp import MLP
from trainlab.models.perceptron import Perceptron
from trainlab.survival.checkpoint import Progress, RunMetadata, load_weights, read

FACTS = RunMetadata({"model": {"name": "mlp"}, "data": {"name": "digits"}}, ["0", "1"], [1, 8, 8], [0.3])


def write(path: Path, net: torch.nn.Module, epoch: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {f"net.{name}": value for name, value in net.state_dict().items()}
    torch.save({"trainlab": FACTS.plain(), "state_dict": weights, "progress": Progress(epoch).plain()}, path)
    return path


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read(str(path))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    net = MLP((1, 8, 8), 2, hidden=(3,))
    saved = read(str(write(tmp_path / "a.ckpt", net)))
    assert (saved.facts, saved.progress) == (FACTS, Progress(4))
    other = MLP((1, 8, 8), 2, hidden=(3,))
    load_weights(other, saved, "a.ckpt")
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(other.parameters(), net.parameters(), strict=True))


@pytest.mark.parametrize(
    ("names", "prefer", "epoch"),
    [(["last", "best"], "best", 1), (["last", "best"], "last", 0), (["last"], "best", 0)],
)
def test_of_a_run_directory_the_preferred_checkpoint_is_read(tmp_path, names, prefer, epoch):
    for number, name in enumerate(names):
        write(tmp_path / "checkpoints" / f"{name}.ckpt", Perceptron((2,), 2), epoch=number)
    assert read(str(tmp_path), prefer).progress.epochs == epoch


@pytest.mark.parametrize(
    "content",
    [b"", b"hello world\n", b"0.5, 0.25\n", b"PK\x03\x04", b"\x80\x02.", b"J", b"K", b"[1, 2]", b"\x89PNG\r\n\x1a\n"],
    ids=["empty", "text", "numbers", "zip header", "pickle header", "short", "shorter", "json", "png"],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    refused(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_random_bytes_are_refused(tmp_path):
    rng, path = random.Random(0), tmp_path / "x.ckpt"
    for first in range(256):  # each may be an instruction of the unpickler
        path.write_bytes(bytes([first]) + rng.randbytes(rng.randrange(100)))
        refused(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_half_a_checkpoint_is_refused(tmp_path, share):
    path = write(tmp_path / "x.ckpt", Perceptron((50,), 2))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path)


def test_a_damaged_zip_directory_is_refused(tmp_path):
    path = write(tmp_path / "x.ckpt", Perceptron((50,), 2))
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x06\x07") + 16] = 7  # the number of disks
    path.write_bytes(content)
    refused(path)


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize(
    "content",
    [
        {},
        {"state_dict": {}, "progress": {"epochs": 0}},
        {"trainlab": 1, "state_dict": {}, "progress": {"epochs": 0}},
        {"trainlab": {"config": {}}, "state_dict": {}, "progress": {"epochs": 0}},
        {"trainlab": FACTS.plain(), "state_dict": [1], "progress": {"epochs": 0}},
        {"trainlab": FACTS.plain(), "state_dict": {}},
        {"trainlab": FACTS.plain(), "state_dict": {}, "progress": {"epoch": 0}},
        [1, 2],
        None,
        torch.zeros(3),
    ],
    ids=[
        "empty",
        "without facts",
        "number",
        "few facts",
        "list",
        "without progress",
        "other progress",
        "a list",
        "None",
        "tensor",
    ],
)
def test_another_programs_torch_file_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.ckpt")
    refused(tmp_path / "x.ckpt")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
@pytest.mark.parametrize("place", ["whole", "within"])
def test_code_in_a_file_is_not_run(tmp_path, save, place):
    trap = Trap(tmp_path / "sprung")
    save(
        trap if place == "whole" else {"trainlab": trap, "state_dict": {}, "progress": {"epochs": 0}},
        tmp_path / "x.ckpt",
    )
    refused(tmp_path / "x.ckpt")
    assert not (tmp_path / "sprung").exists()


def test_the_trap_works(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_a_folder_without_checkpoints_is_refused(tmp_path):
    assert "folder" in refused(tmp_path)


def test_a_missing_path_is_refused(tmp_path):
    assert "does not exist" in refused(tmp_path / "nothing.ckpt")


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (MLP((1, 8, 8), 2, hidden=(5,)), "layers.1.weight is of 3×64 there and of 5×64 here"),
        (MLP((1, 8, 8), 4, hidden=(3,)), "layers.3.weight is of 2×3 there and of 4×3 here"),
        (MLP((1, 8, 8), 2, hidden=(3, 2)), "layers.5.weight is missing there and of 2×2 here"),
        (Perceptron((1, 8, 8), 2), "linear.weight is missing there and of 2×64 here"),
        (MLP((1, 8, 8), 2, hidden=()), "layers.1.weight is of 3×64 there and of 2×64 here"),
    ],
    ids=["width", "classes", "depth", "model", "shallow"],
)
def test_another_networks_weights_are_refused_by_the_first_difference(tmp_path, other, difference):
    saved = read(str(write(tmp_path / "x.ckpt", MLP((1, 8, 8), 2, hidden=(3,)))))
    before = [value.clone() for value in other.state_dict().values()]
    with pytest.raises(InputError, match=r"another network.*model=mlp") as error:
        load_weights(other, saved, "x.ckpt")
    assert difference in str(error.value)
    assert all(torch.equal(old, new) for old, new in zip(before, other.state_dict().values(), strict=True))


def test_weights_too_many_are_refused(tmp_path):
    saved = read(str(write(tmp_path / "x.ckpt", MLP((1, 8, 8), 2, hidden=(2,)))))
    with pytest.raises(InputError, match=r"layers\.3\.weight is of 2×2 there and missing here"):
        load_weights(MLP((1, 8, 8), 2, hidden=()), saved, "x.ckpt")
