"""Packing a small ILSVRC with all that is odd in the real one; what comes out against Pillow and numpy."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import tarfile
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from ilsvrc_tree import WNIDS, encoded, make_devkit, make_folders, make_tars, picture, pictures, validation
from PIL import Image, ImageOps
from whole_runs import UNDRAWN, command, small_disk, start_command

from trainlab.data.packed import writer as packing
from trainlab.data.packed.format import PackedImages, checksum_of, labels, read_packed, verify
from trainlab.data.packed.listing import list_images
from trainlab.data.packed.pictures import decode
from trainlab.data.packed.writer import Form, pack, pack_block
from trainlab.data.sources import imagenet
from trainlab.errors import InputError, RunError

pytestmark = pytest.mark.process

SMALL = Form(size=32)
BAD = 2  # of the training pictures


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return make_folders(tmp_path_factory.mktemp("ilsvrc"))


@pytest.fixture(scope="module")
def packed(tree, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "raw"
    skipped = pack(list_images(tree), out, SMALL, on_bad_image="skip", workers=2)
    assert len(skipped) == BAD
    return out


def by_pillow(content: bytes, size: int) -> np.ndarray:
    """The paper's words with Pillow's own functions: the centre square, its side to `size`."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    side = min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".lock"}


def test_pictures_are_pillows_and_in_the_order_of_their_names(packed):
    found = read_packed(packed)
    images, classes = PackedImages(found, "train"), labels(found, "train")
    expected = [
        (label, name, content)
        for label, wnid in enumerate(WNIDS)
        for name, content in sorted(pictures(20)[wnid].items())
        if "text" not in name and "truncated" not in name
    ]
    assert found.counts == {"train": len(expected), "val": 12}
    assert classes.tolist() == [label for label, _, _ in expected]
    for index, (_, name, content) in enumerate(expected):
        ours = images[torch.tensor([index])][0].permute(1, 2, 0).numpy().astype(int)
        difference = np.abs(ours - by_pillow(content, 32))
        assert difference.max() <= 1, (name, difference.max())  # grey levels; of a turned picture, rounding


def test_large_jpegs_decoded_at_a_fraction_of_their_size_differ_little():
    """Above four times the size: by two grey levels on average (Pillow's `draft`)."""
    large = picture(11, 400, 300)
    ours = decode(io.BytesIO(encoded(large, quality=95)), "large", size=32).astype(int)
    difference = np.abs(ours - by_pillow(encoded(large, quality=95), 32))
    assert difference.mean() < 2


def test_a_square_picture_of_the_right_size_is_kept_to_the_byte(tmp_path):
    (tmp_path / "train/a").mkdir(parents=True)
    (tmp_path / "train/b").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for name in "ab":
        Image.fromarray(pixels).save(tmp_path / f"train/{name}/1.png")
    pack(list_images(tmp_path), tmp_path / "out", SMALL, workers=1)
    found = PackedImages(read_packed(tmp_path / "out"), "train")[torch.tensor([0, 1])]
    np.testing.assert_array_equal(found[1].permute(1, 2, 0), pixels)


@pytest.mark.parametrize("kind", ["flat", "tars"])
def test_a_flat_val_and_the_tar_files_give_the_same_set(packed, tmp_path, kind):
    source = tmp_path / "source"
    source.mkdir()
    if kind == "tars":
        make_tars(source)
    else:
        make_devkit(make_folders(source, flat=True), packed=False)
    pack(list_images(source), tmp_path / "out", SMALL, on_bad_image="skip", workers=1)
    theirs, ours = read_packed(packed), read_packed(tmp_path / "out")
    assert ours.classes == ("tench", "goldfish", "crane")
    assert files(packed)["train.images"] == files(tmp_path / "out")["train.images"]
    truth = [WNIDS.index(wnid) for wnid, _, _ in validation(12)]
    assert labels(ours, "val").tolist() == truth
    order = sorted(range(12), key=lambda i: truth[i])  # folders stand one after another
    there = torch.arange(12)
    assert torch.equal(PackedImages(ours, "val")[there[order]], PackedImages(theirs, "val")[there])


@pytest.mark.parametrize("form", ["flat", "tars"])
def test_what_systems_leave_in_a_flat_folder_or_a_tar_is_no_picture_and_no_class(tmp_path, form):
    if form == "flat":
        make_devkit(make_folders(tmp_path, 4, flat=True), packed=False)
        clean = list_images(tmp_path)
        (tmp_path / "val/__MACOSX").mkdir()
        (tmp_path / "val/._ILSVRC2012_val_00000001.JPEG").write_bytes(b"")
        assert list_images(tmp_path).passed_over == 2
    else:
        make_tars(tmp_path, 4)
        clean = list_images(tmp_path)
        for name, inside in (("train", "._n01440764.tar"), ("val", "__MACOSX/._1.JPEG"), ("val", "._2.JPEG")):
            with tarfile.open(tmp_path / f"ILSVRC2012_img_{name}.tar", "a") as archive:
                archive.addfile(tarfile.TarInfo(inside))
    again = list_images(tmp_path)
    assert (again.folders, again.splits) == (clean.folders, clean.splits)


def test_without_the_devkit_a_flat_val_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"put ILSVRC2012_devkit_t12\.tar\.gz beside them"):
        list_images(make_folders(tmp_path, 2, flat=True))


def test_colours_are_numpys(packed):
    found = read_packed(packed)
    colours = np.frombuffer((packed / "train.images").read_bytes(), np.uint8).reshape(-1, 3).T / 255
    np.testing.assert_allclose(found.statistics.mean, colours.mean(1), rtol=1e-6)
    np.testing.assert_allclose(found.statistics.covariance, np.cov(colours, bias=True), rtol=1e-9)
    said = json.loads((packed / "set.json").read_text())
    vectors, values = np.array(said["eigenvectors"]).T, np.array(said["eigenvalues"])
    np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, found.statistics.covariance, atol=1e-12)


def test_jpegs_inside_are_read_as_pillow_reads_them(tree, packed, tmp_path):
    pack(list_images(tree), tmp_path / "out", Form(32, "jpeg", 95), on_bad_image="skip", workers=2)
    found = read_packed(tmp_path / "out")
    everything = torch.arange(found.counts["train"])
    ours, raw = PackedImages(found, "train")[everything], PackedImages(read_packed(packed), "train")[everything]
    ends = np.fromfile(tmp_path / "out/train.ends", np.int64)
    content = (tmp_path / "out/train.images").read_bytes()
    for index, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        expected = np.asarray(Image.open(io.BytesIO(content[start:end])))
        np.testing.assert_array_equal(ours[index].permute(1, 2, 0), expected)
    assert (ours.float() - raw.float()).abs().mean() < 4
    assert not verify(found, lambda done: None)
    # Selections of selections read what they should.
    some = PackedImages(found, "train").take(torch.tensor([5, 3, 8])).take(torch.tensor([2, 0]))
    assert torch.equal(some[torch.tensor([1, 0])], ours[[5, 8]])


def attempt(listing, out: Path) -> int:
    """Packs in a process of its own, which is returned."""
    pid = os.fork()
    if pid == 0:
        try:
            pack(listing, out, SMALL, on_bad_image="skip", workers=2)
        finally:
            os._exit(0)
    return pid


@pytest.mark.process
def test_killed_at_twenty_random_moments_it_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "BLOCK", 8)
    listing = list_images(make_folders(tmp_path / "tree", 600))
    began = time.monotonic()
    pack(listing, tmp_path / "whole", SMALL, on_bad_image="skip", workers=2)
    whole = time.monotonic() - began
    out, kills, draw, reached = tmp_path / "killed", 0, random.Random(0), set()
    while kills < 20 or (len(reached) <= 5 and kills < 60):  # on a busy machine many come at the same block
        pid = attempt(listing, out)
        while not (out / "state.json").exists():
            time.sleep(0.001)
        time.sleep(draw.random() * whole / 4)
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL or (out / "set.json").exists():
            shutil.rmtree(out)  # it was done before it was killed; begin anew
            continue
        kills += 1
        reached.add(sum(part["taken"] for part in json.loads((out / "state.json").read_text())["parts"].values()))
        with pytest.raises(InputError, match="not finished"):
            read_packed(out)
    assert len(reached) > 5, "the kills came between the blocks, not before them all"
    pack(listing, out, SMALL, on_bad_image="skip", workers=2)
    assert files(out) == files(tmp_path / "whole")


def test_a_bad_picture_is_an_error_where_it_is_not_to_be_skipped(tree, tmp_path):
    with pytest.raises(InputError, match=r"n01440764_odd_text\.JPEG .*--on-bad-image skip"):
        pack(list_images(tree), tmp_path / "out", SMALL, workers=1)
    assert len(pack(list_images(tree), tmp_path / "out", SMALL, on_bad_image="skip", workers=1)) == BAD


def test_damage_is_found_and_placed(packed, tmp_path):
    shutil.copytree(packed, tmp_path / "set")
    path = tmp_path / "set/val.images"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert verify(read_packed(tmp_path / "set"), lambda done: None) == ["val: pictures 0 to 11"]
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match=r"val\.images has 36,863 bytes and not 36,864"):
        read_packed(tmp_path / "set")


@pytest.mark.parametrize(
    ("name", "place", "found"),
    [
        ("train.labels", 0, "train.labels"),
        ("val.ends", 80, "val.ends"),
        ("set.json", '"classes": [', "set.json is not as it was written"),
        ("set.json", '"mean": [', "set.json is not as it was written"),
    ],
)
def test_damage_beside_the_pictures_is_found_too(tree, tmp_path, name, place, found):
    pack(list_images(tree), tmp_path / "set", Form(32, "jpeg", 95), on_bad_image="skip", workers=1)
    assert verify(read_packed(tmp_path / "set"), lambda done: None) == []
    path = tmp_path / "set" / name
    content = bytearray(path.read_bytes())
    if isinstance(place, str):  # the first letter or digit after it
        start = content.index(place.encode()) + len(place)
        place = next(i for i in range(start, len(content)) if chr(content[i]).isalnum())
    content[place] ^= 1
    path.write_bytes(content)
    assert found in verify(read_packed(tmp_path / "set"), lambda done: None)


@pytest.mark.parametrize(
    "text", ["[]", "3", '{"format": 3}', '{"format": 2}', '{"format": 2, "splits": 1}', '{"format": 1}']
)
def test_a_set_json_of_another_kind_is_a_sentence(tmp_path, text):
    (tmp_path / "set.json").write_text(text)
    with pytest.raises(InputError, match=r"pack again\.$"):
        read_packed(tmp_path)


def test_a_set_of_the_format_before_is_read(packed, tmp_path):
    """Its raw pictures are 3×S×S, and everything else is the same."""
    old = tmp_path / "old"
    shutil.copytree(packed, old)
    said = json.loads((packed / "set.json").read_text()) | {"format": 2}
    for name, part in said["splits"].items():
        pixels = np.fromfile(packed / f"{name}.images", np.uint8).reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)
        pixels.tofile(old / f"{name}.images")
        assert len(pixels) <= 256, "one checksum"
        part["checksums"] = [zlib.crc32(pixels.tobytes())]
    said["checksum"] = checksum_of(said)
    (old / "set.json").write_text(json.dumps(said))
    theirs, ours = read_packed(packed), read_packed(old)
    assert not verify(ours, lambda done: None)
    for name, count in ours.counts.items():
        order = torch.randperm(count)
        assert torch.equal(PackedImages(ours, name)[order], PackedImages(theirs, name)[order])


def test_a_jpeg_that_was_damaged_ends_the_run_in_a_sentence(tree, tmp_path):
    pack(list_images(tree), tmp_path / "set", Form(32, "jpeg", 95), on_bad_image="skip", workers=1)
    ends = np.fromfile(tmp_path / "set/train.ends", np.int64)
    with open(tmp_path / "set/train.images", "r+b") as file:
        file.seek(int(ends[6]))
        file.write(bytes(40))
    images = PackedImages(read_packed(tmp_path / "set"), "train")
    with pytest.raises(RunError, match=r"picture 7 of train in .* cannot be decoded .*--verify"):
        images[torch.arange(20)]


def test_a_file_that_was_cut_since_is_not_gone_on_with(tree, tmp_path):
    with pytest.raises(InputError, match="odd_text"):
        pack(list_images(tree), tmp_path / "out", SMALL, workers=1)
    state = json.loads((tmp_path / "out/state.json").read_text())
    state["parts"]["train"] |= {"count": 5, "taken": 5, "bytes": 5 * 3 * 32**2}
    (tmp_path / "out/state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match=r"train\.images has 0 bytes and not the 15,360 that were written"):
        pack(list_images(tree), tmp_path / "out", SMALL, on_bad_image="skip", workers=1)


def test_a_refusal_for_lack_of_room_leaves_room_for_a_smaller_size(tree, packed, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: usage._replace(free=500_000))
    with pytest.raises(InputError, match="a smaller --size"):
        pack(list_images(tree), tmp_path / "out", Form(size=64), on_bad_image="skip", workers=1)
    pack(list_images(tree), tmp_path / "out", SMALL, on_bad_image="skip", workers=1)
    assert files(tmp_path / "out") == files(packed)


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("meta.mat", b"junk", "meta.mat cannot be read"),
        ("ILSVRC2012_validation_ground_truth.txt", b"9\n" * 12, "has class 9, which data/meta.mat does not know"),
        ("ILSVRC2012_validation_ground_truth.txt", b"abc\n" * 12, "holds more than numbers"),
    ],
)
def test_a_devkit_that_is_damaged_is_a_sentence(tmp_path, file, content, sentence):
    root = make_folders(tmp_path, 2, flat=True)
    make_devkit(root, packed=False)
    (path,) = root.rglob(file)
    path.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        list_images(root)


def test_another_size_than_the_packed_one_is_refused(packed):
    with pytest.raises(InputError, match=r"data\.size=64 is asked for, and .* was packed at 32 pixels"):
        imagenet.load(root=str(packed), size=64, val_fraction=0.1)
    assert imagenet.load(root=str(packed), size=32, val_fraction=0.1).train.images.shape[-1] == 32


def test_too_small_a_disk_is_refused_before_anything_is_packed(tree, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    with pytest.raises(InputError, match=r"takes 0\.2 MB more and .* has 0\.1 MB free; choose another disk"):
        pack(list_images(tree), tmp_path / "out", SMALL, workers=1)


@pytest.mark.process
def test_a_disk_that_fills_up_is_a_sentence_and_the_rest_can_follow(tree, packed, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: usage)
    with small_disk(disk, "128k") as resize:
        with pytest.raises(RunError, match="No space left on device; the same command goes on"):
            pack(list_images(tree), disk / "out", SMALL, on_bad_image="skip", workers=1)
        resize("4m")
        pack(list_images(tree), disk / "out", SMALL, on_bad_image="skip", workers=1)
        assert files(disk / "out") == files(packed)


def test_folders_that_are_something_else_are_refused(tree, packed, tmp_path):
    listing = list_images(tree)
    with pytest.raises(InputError, match="holds a packed set already"):
        pack(listing, packed, SMALL)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        pack(listing, tmp_path / "mine", SMALL)
    with pytest.raises(InputError, match="odd_text"):
        pack(listing, tmp_path / "begun", SMALL, workers=1)
    with pytest.raises(InputError, match="was begun with other pictures or options"):
        pack(listing, tmp_path / "begun", Form(size=48), on_bad_image="skip", workers=1)


def test_the_data_set_is_the_packed_one_and_packs_where_it_must(tree, packed, tmp_path):
    known = imagenet.load(root=str(packed), packed="unused", val_fraction=0.1)
    made = imagenet.load(
        root=str(tree), packed=str(tmp_path / "made"), size=32, on_bad_image="skip", val_fraction=0.1, pack=pack
    )
    for name in ("train", "val", "test"):
        ours, theirs = getattr(known, name), getattr(made, name)
        assert torch.equal(ours.all_images, theirs.all_images)
        assert torch.equal(ours.labels, theirs.labels)
    assert known.notes == {"skipped_images": BAD}
    assert len(known.test) == 12
    assert len(known.train) + len(known.val) == read_packed(packed).counts["train"]


def test_a_blocks_worth_is_a_pure_function_of_its_sources(tree):
    sources = list_images(tree).splits["train"][:5]
    first, second = (pack_block(sources, SMALL, with_colours=True) for _ in range(2))
    assert first.pictures == second.pictures


@pytest.mark.process
@pytest.mark.parametrize(("asked", "status", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGHUP, 75, "SIGHUP")])
def test_stopped_by_the_terminal_it_ends_in_a_sentence_and_the_same_command_goes_on(tmp_path, asked, status, name):
    """The terminal sends its signals to the workers, too."""
    source, out = make_folders(tmp_path / "tree", 800), tmp_path / "out"
    words = ["scripts/pack_images.py", str(source), str(out), "--on-bad-image", "skip", "--size", "64"]
    process = start_command(*words)
    while not (out / "state.json").exists() and process.poll() is None:
        time.sleep(0.001)
    os.killpg(process.pid, asked)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err == f"error: stopped by {name}; the same command goes on where it was.\n"
    assert not (out / "set.json").exists()
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert "is as it was packed" in command("scripts/pack_images.py", "--verify", str(out)).stdout


@pytest.mark.process
def test_the_script_packs_checks_and_says_what_is_wrong(tree, tmp_path):
    script, out = "scripts/pack_images.py", str(tmp_path / "out")
    done = command(script, str(tree), out, "--size", "72", "--on-bad-image", "skip", cold=True)
    assert done.returncode == 0, done.stderr
    assert "2 pictures could not be decoded and were left out" in done.stdout
    assert "is as it was packed: 66 train, 12 val, 2 left out" in command(script, "--verify", out).stdout
    for wrong, sentence in (
        ((str(tmp_path / "nothing"), out), "is no folder"),
        ((str(tree), out), "holds a packed set already"),
        ((str(tree), out + "2", "--size", "0"), "must be at least 1"),
        (("--verify", str(tree)), "not a packed set"),
    ):
        refused = command(script, *wrong)
        assert refused.returncode == 2
        assert sentence in refused.stderr
        assert refused.stderr.count("\n") == 1
    run = tmp_path / "run"
    small = ("model=convnet", "model.channels=[4,4,4]", "aug=alexnet", "trainer.max_epochs=1", "logger=csv")
    small += ("data.val_fraction=0.1", "data.batch_size=16")
    trained = command(UNDRAWN, "data=imagenet", f"data.root={out}", f"hydra.run.dir={run}", *small)
    assert trained.returncode == 0, trained.stderr
    assert json.loads((run / "results.json").read_text())["skipped_images"] == BAD
