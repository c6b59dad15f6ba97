"""scripts/predict.py against the network itself, with pictures, folders, standard input and what is no picture."""

from __future__ import annotations

import io
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from whole_runs import command, start_command

from trainlab.survival.trained import read_trained

pytestmark = pytest.mark.run


@pytest.fixture(scope="module")
def run(train):
    run = train("model=mlp", "logger=csv", "trainer.max_epochs=5", "model.hidden=[32]")
    assert run.status == 0, run.err
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four digits as pictures, one file that is none, and one picture below."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "below").mkdir()
    for index, place in enumerate(["a.png", "b.bmp", "c.tiff", "below/d.png"]):
        Image.fromarray(pixels()[index]).save(folder / place)
    (folder / "no.jpg").write_text("no picture")
    return folder


def pixels() -> np.ndarray:
    return np.round(load_digits().images[:4] * (255 / 16)).astype(np.uint8)


def test_classes_and_probabilities_are_the_networks(run, folder, tmp_path):
    done = command(
        "scripts/predict.py", str(run.folder), str(folder), "--figure", str(tmp_path / "f.png"), "--top", "3"
    )
    assert done.returncode == 0, done.stderr
    trained = read_trained(str(run.folder))
    images = torch.from_numpy(pixels())[:, None]
    inputs = images / 255 - torch.tensor(trained.saved.facts.mean)[:, None, None]
    with torch.no_grad():
        expected = trained.net(inputs).softmax(1).topk(3)
    lines = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if line.startswith("│")}
    for row, name in enumerate(["a.png", "b.bmp", "c.tiff", "below/d.png"]):
        for label, value in zip(expected.indices[row].tolist(), expected.values[row].tolist(), strict=True):
            assert f"{label} {100 * value:.1f} %" in lines[name], name
    assert "left out: cannot decode the image" in done.stdout
    assert Image.open(tmp_path / "f.png").size[0] > 500


def test_formats_with_rare_names_are_seen_in_a_folder_and_bad_ones_left_out_of_a_set(run, tmp_path):
    (tmp_path / "set/train/a").mkdir(parents=True)
    for index, name in enumerate(["a.tga", "b.pcx", "c.jp2", "d.ico"]):
        Image.fromarray(pixels()[index]).save(tmp_path / "set/train/a" / name)
    Image.fromarray(pixels()[0]).save(tmp_path / "set/train/a/e.png")
    (tmp_path / "set/train/a/f.png").write_text("no picture")
    known = str(tmp_path / "set")
    words = (str(run.folder), known, "--similar", known, "--figure", str(tmp_path / "f.png"))
    done = command("scripts/predict.py", *words)
    assert done.returncode == 0, done.stderr
    for name in ("a.tga", "b.pcx", "c.jp2", "d.ico"):
        assert f"train/a/{name}" in done.stdout
    assert done.stdout.count("left out: cannot decode the image") == 2  # of the pictures, and of the set
    assert (tmp_path / "f_similar.png").exists()


def test_a_picture_on_standard_input(run, tmp_path):
    file = io.BytesIO()
    Image.fromarray(pixels()[0]).save(file, "PNG")
    words = ("scripts/predict.py", str(run.folder), "-", "--figure", str(tmp_path / "f.png"))
    with start_command(*words, stdin=subprocess.PIPE, text=False) as process:
        out, err = process.communicate(file.getvalue(), timeout=500)
    assert process.returncode == 0, err
    assert "standard input" in out.decode()


def test_the_nearest_training_picture_of_a_training_picture_is_itself(run, tmp_path):
    trained = read_trained(str(run.folder))
    from trainlab.command.prediction import most_similar, similar_set

    known, _ = similar_set("train", trained, None)
    chosen = torch.tensor([3, 500, 1200])
    assert most_similar(trained, known.images[chosen], known, 4)[:, 0].tolist() == chosen.tolist()
    features = trained.features(known.images[torch.arange(len(known))]).numpy()
    distances = ((features[None, 3] - features) ** 2).sum(1)
    nearest = most_similar(trained, known.images[chosen[:1]], known, 4)[0].numpy()
    np.testing.assert_allclose(np.sort(distances)[:4], distances[nearest], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("RUN", "/nonexistent.png"), "/nonexistent.png does not exist"),
        (("/nonexistent", "FOLDER"), "ckpt=/nonexistent does not exist"),
        (("RUN", "FOLDER/no.jpg"), "cannot decode the image no.jpg"),
        (("RUN", "FOLDER", "--top", "0"), "--top 0 must be at least 1"),
        (("RUN", "FOLDER/a.png", "--similar", "/nonexistent"), "--similar /nonexistent is no folder"),
        (("RUN", "FOLDER/a.png", "--figure", "/proc/f.png"), "cannot be written"),
        (("RUN", "FOLDER/a.png", "--figure", "f.foo"), "name it f.png"),
        (("RUN", "FOLDER/a.png", "--top", "many"), "invalid int value: 'many'; python scripts/predict.py --help"),
        (("RUN", "-"), "there is no picture on standard input"),
        (("RUN",), "the following arguments are required: IMAGE"),
    ],
)
def test_mistakes_are_sentences(run, folder, tmp_path, words, sentence):
    given = [word.replace("RUN", str(run.folder)).replace("FOLDER", str(folder)) for word in words]
    if "--figure" not in given:
        given += ["--figure", str(tmp_path / "f.png")]
    done = command("scripts/predict.py", *given)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_several_checkpoints_are_averaged(run, train):
    other = train("model=mlp", "logger=csv", "trainer.max_epochs=2", "model.hidden=[16]", "seed=1")
    both = command("scripts/evaluate.py", f"ckpt=[{run.folder},{other.folder}]")
    assert both.returncode == 0, both.stderr
    assert "the probabilities of 2 networks are averaged" in both.stdout
    first, second = (read_trained(str(r.folder)) for r in (run, other))
    from trainlab.runtime.assembly import source

    test = source(first.cfg, may_fetch=False)().test
    probabilities = (first.probabilities(test.images) + second.probabilities(test.images)) / 2
    assert f"{(probabilities.argmax(1) != test.labels).double().mean():.2%}" in both.stdout
    wrong = train("model=mlp", "data=moons", "logger=csv", "trainer.max_epochs=1", "data.val_fraction=0")
    refused = command("scripts/evaluate.py", f"ckpt=[{run.folder},{wrong.folder}]")
    assert refused.returncode == 2
    assert "cannot be averaged" in refused.stderr
