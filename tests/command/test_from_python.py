"""`import trainlab`: the runs, networks and tables of the command line, and nothing left behind in the process."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from lightning.pytorch.callbacks import Callback
from omegaconf import OmegaConf
from PIL import Image
from sklearn.datasets import load_digits
from whole_runs import REPOSITORY, command

import trainlab
from trainlab.command.evaluation import evaluate
from trainlab.command.main import CONF, compose_run, without_hydra
from trainlab.errors import InputError, RunError
from trainlab.survival.checkpoint import read

pytestmark = [pytest.mark.run, pytest.mark.usefixtures("undrawn")]

QUICK = ("logger=csv", "trainer.max_epochs=3", "trainer=cpu", "model=mlp", "model.hidden=[16]", "reg=dropout")


@pytest.fixture(scope="module")
def ran(undrawn, tmp_path_factory):
    return trainlab.run(QUICK, run_dir=tmp_path_factory.mktemp("python") / "run")


def digits(count: int = 12) -> np.ndarray:
    """uint8 (count, 1, 8, 8)."""
    return np.round(load_digits().images[:count, None] * (255 / 16)).astype(np.uint8)


# Importing and composing


def test_the_import_is_light_and_composing_needs_no_torch():
    code = (
        "import sys, trainlab\n"
        "heavy = {'torch', 'lightning', 'hydra', 'pandas', 'numpy'}\n"
        "assert not heavy & {*sys.modules}, heavy & {*sys.modules}\n"
        "assert trainlab.compose(['model=alexnet']).optim.name == 'momentum'\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules\n"
        "assert trainlab.objective.CrossEntropy and 'torch' in sys.modules\n"
    )
    done = command("-c", code)
    assert done.returncode == 0, done.stderr


def test_everything_that_is_offered_is_there_and_documented():
    for name in trainlab.__all__:
        assert getattr(trainlab, name).__doc__, name
    assert (Path(trainlab.__file__).parent / "py.typed").exists()
    with pytest.raises(AttributeError):
        trainlab.nothing_of_that_name  # noqa: B018


def test_what_is_composed_is_what_the_command_line_composes():
    words = ["model=alexnet", "optim.lr=0.5"]
    assert trainlab.compose(words) == without_hydra(compose_run(words))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("words", [["model=mlp"], ["model=mpl"]])
def test_a_program_that_uses_hydra_itself_finds_it_as_it_was(words):
    def try_it() -> None:
        try:
            trainlab.compose(words)
        except InputError:
            assert words == ["model=mpl"]

    assert not GlobalHydra.instance().is_initialized()
    try_it()
    assert not GlobalHydra.instance().is_initialized()
    with initialize_config_dir(config_dir=str(CONF), version_base="1.1"):
        own = GlobalHydra.instance().hydra
        from hydra import version

        try_it()
        try_it()
        assert GlobalHydra.instance().hydra is own
        assert version.getbase() == version._get_version("1.1")
        assert compose("train", overrides=["seed=7"]).seed == 7


# Runs


def test_the_results_are_those_of_the_file_and_the_command_line(ran, train):
    there = json.loads((ran.run_dir / "results.json").read_text())
    assert dict(ran) == there
    same = train(*QUICK).results
    numbers = {name for name in there if name.startswith(("train/", "val/", "test/"))}
    assert numbers
    assert {name: there[name] for name in numbers} == {name: same[name] for name in numbers}


def test_the_scripts_take_its_directory(ran, tmp_path):
    assert evaluate([f"ckpt={ran.run_dir}"])["test/loss"] == pytest.approx(ran["test/loss"], abs=1e-6)
    again = command("scripts/rerun.py", str(ran.run_dir), f"hydra.run.dir={tmp_path}/again")
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "again/results.json").read_text())["test/loss"] == ran["test/loss"]
    stored = OmegaConf.load(ran.run_dir / ".hydra/config.yaml")
    assert OmegaConf.to_container(stored, resolve=True) == OmegaConf.to_container(trainlab.compose(QUICK), resolve=True)


def test_nothing_is_left_behind_in_the_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []

    class Counts(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            seen.append(trainer.current_epoch)

    threads, level = torch.get_num_threads(), logging.getLogger("lightning").level
    torch.set_num_threads(threads + 1)
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(3)
    np.random.seed(3)
    words = ["logger=none", "trainer.max_epochs=2", "trainer=cpu"]
    runs = [trainlab.run(words, callbacks=[Counts()]) for _ in range(2)]
    try:
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.rand(3), expected[0])
    np.testing.assert_array_equal(np.random.rand(3), expected[1])
    assert logging.getLogger("lightning").level == level
    assert seen == [0, 1, 0, 1]
    assert runs[0]["test/loss"] == runs[1]["test/loss"]
    folders = [run.run_dir for run in runs]
    assert folders[0] != folders[1]
    assert {folder.parent for folder in folders} == {Path("runs/perceptron_digits")}
    assert all((folder / "results.json").exists() for folder in folders)


def test_it_runs_in_another_thread(tmp_path):
    came: list[float] = []
    words = ["logger=none", "trainer.max_epochs=1", "trainer=cpu"]
    thread = threading.Thread(
        target=lambda: came.append(trainlab.run(words, run_dir=tmp_path / "run")["test/top1_error"])
    )
    thread.start()
    thread.join()
    assert len(came) == 1


@pytest.mark.parametrize(
    ("words", "given", "sentence"),
    [
        ("model=mlp", {}, "overrides are a list of texts"),
        (["model=mpl"], {}, "did you mean model=mlp"),
        (["seed=0,1"], {}, "seed=0,1 are several values"),
        (["trainer=ddp"], {}, "trainlab.run runs in this process"),
        (["hydra.run.dir=x"], {}, "both name the run's directory"),
        (["data=image_folder", "data.root=/nonexistent"], {}, "data.root=/nonexistent does not exist"),
        ([], {"callbacks": [3]}, "lightning.pytorch.callbacks.Callback, and this is 3"),
        ([], {"run_dir": 3}, "run_dir=3 is no folder"),
        ([], {"run_dir": "/dev/null/run"}, "choose another with run_dir=…"),
    ],
)
def test_mistakes_are_sentences_and_leave_nothing(tmp_path, words, given, sentence):
    folder = tmp_path / "a/b"
    with pytest.raises(InputError) as error:
        trainlab.run(words, **{"run_dir": folder, **given})
    assert sentence in str(error.value)
    assert not (tmp_path / "a").exists()


def test_a_run_is_not_written_over_and_can_go_on(ran):
    with pytest.raises(InputError, match=r"holds a run already; add ckpt=auto.*run_dir=…"):
        trainlab.run(QUICK, run_dir=ran.run_dir)
    assert trainlab.run([*QUICK, "ckpt=auto"], run_dir=ran.run_dir)["test/loss"] == ran["test/loss"]


# Networks


def test_probabilities_are_the_networks_in_the_order_given(ran, tmp_path):
    network = trainlab.load(ran.run_dir)
    assert not network.net.training
    assert network.classes == [str(k) for k in range(10)]
    images = digits(100)
    saved = read(str(ran.run_dir), prefer="best")
    mean = torch.tensor(saved.facts.mean)
    weights = saved.weights
    x = (torch.from_numpy(images).double() / 255 - mean.double()).flatten(1)
    hidden = torch.relu(x @ weights["layers.1.weight"].double().T + weights["layers.1.bias"].double())
    names = [name for name in weights if name.endswith("weight")]
    last = names[-1].removesuffix("weight")
    by_hand = (hidden @ weights[last + "weight"].double().T + weights[last + "bias"].double()).softmax(1)
    got = network.predict(images)
    assert got.dtype == torch.float32
    assert got.shape == (100, 10)
    torch.testing.assert_close(got.double(), by_hand, atol=1e-6, rtol=0)
    torch.testing.assert_close(network.net(network.preprocess(images)).softmax(1), got, atol=1e-6, rtol=0)
    paths = []
    for index in range(5):
        paths.append(tmp_path / f"{9 - index}.png")
        Image.fromarray(images[index, 0]).save(paths[-1])
    every_kind = [str(paths[0]), paths[1], Image.open(paths[2]), images[3], torch.from_numpy(images[4])]
    assert torch.equal(network.predict(every_kind), network.predict(images[:5]))
    for one in (str(paths[0]), paths[0], Image.open(paths[0]), images[0], torch.from_numpy(images[0])):
        torch.testing.assert_close(network.predict(one), got[:1])
    assert network.predict_classes(images[:3]) == [str(k) for k in got[:3].argmax(1).tolist()]


def test_pictures_of_any_size_are_what_the_script_makes_of_them(ran, tmp_path):
    generator = np.random.default_rng(0)
    pictures = [
        Image.fromarray(generator.integers(0, 256, size, np.uint8)) for size in ((40, 30, 3), (9, 50), (8, 8, 4))
    ]
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    network = trainlab.load(str(ran.run_dir / "checkpoints/best.ckpt"))
    probabilities = network.predict(paths)
    done = command(
        "scripts/predict.py", str(ran.run_dir), *map(str, paths), "--top", "3", "--figure", f"{tmp_path}/f.png"
    )
    assert done.returncode == 0, done.stderr
    lines = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if line.startswith("│")}
    for path, row in zip(paths, probabilities, strict=True):
        top = row.topk(3)
        for label, value in zip(top.indices.tolist(), top.values.tolist(), strict=True):
            assert f"{label} {100 * value:.1f} %" in lines[path.name], path.name
    assert torch.equal(network.predict(pictures), probabilities)
    as_array = np.asarray(pictures[0]).transpose(2, 0, 1)
    torch.testing.assert_close(network.predict(as_array), probabilities[:1])
    # By hand: Pillow's centre square, scaled; grey by its own weights.
    grey = pictures[0].convert("L").resize((8, 8), Image.Resampling.BILINEAR, box=(0, 5, 30, 35))
    torch.testing.assert_close(network.predict(grey), probabilities[:1], atol=0.02, rtol=0)  # before or after scaling


def test_the_views_of_the_run_are_averaged(tmp_path):
    words = ["aug=tencrop", "data.reflections=true", "logger=none", "trainer.max_epochs=1", "trainer=cpu"]
    network = trainlab.load(trainlab.run(words, run_dir=tmp_path / "run").run_dir)
    from torchvision.transforms.functional import ten_crop

    images = torch.from_numpy(digits(4))
    mean = torch.tensor(network.saved.facts.mean)[:, None, None]
    with torch.no_grad():
        views = [network.net(view / 255 - mean).softmax(1) for view in ten_crop(images, 7)]
    torch.testing.assert_close(network.predict(images), torch.stack(views).mean(0), atol=1e-6, rtol=0)


def test_a_network_of_points_takes_numbers(tmp_path):
    words = ["data=moons", "model=mlp", "logger=none", "trainer.max_epochs=1", "trainer=cpu"]
    network = trainlab.load(trainlab.run(words, run_dir=tmp_path / "run").run_dir)
    points = [[0.5, -1.0], [1.5, 0.25]]
    with torch.no_grad():
        expected = network.net(torch.tensor(points)).softmax(1)
    for given in (points, np.array(points), torch.tensor(points, dtype=torch.float64)):
        torch.testing.assert_close(network.predict(given), expected)
    torch.testing.assert_close(network.predict(points[0]), expected[:1])
    assert torch.equal(network.preprocess(points), torch.tensor(points))
    for wrong, sentence in (
        ([[1.0, 2.0, 3.0]], "points of 2 numbers, and these have 3"),
        ([[float("nan"), 0.0]], "NaN"),
        ([], "points are numbers, (N, 2)"),
        ("a.png", "points"),
        ([[1.0], [1.0, 2.0]], "these are no points"),
    ):
        with pytest.raises(InputError) as error:
            network.predict(wrong)
        assert sentence in str(error.value)


HOSTILE = {
    "of type int": 3,
    "of type NoneType": None,
    "of type dict": {"a.png": 1},
    "of type bytes": b"a.png",
    "number 1 is no picture but of type int": [np.zeros((1, 8, 8), np.uint8), 3],
    "the list is empty": [],
    "nope.png does not exist": ["nope.png"],
    "is a folder; list its pictures": str(REPOSITORY),
    "does not exist; name a picture.": "x" * 5000,
    "\0b does not exist": "a\0b",
    "these are float64 (2, 1, 8, 8)": np.zeros((2, 1, 8, 8)),
    "these are uint8 (8, 8)": np.zeros((8, 8), np.uint8),
    "put its channels first": torch.zeros(2, 8, 8, 3, dtype=torch.uint8),
    "number 0 is uint8 (3, 0, 5)": torch.zeros(2, 3, 0, 5, dtype=torch.uint8),
    "number 0 is uint8 (2, 9, 9)": np.zeros((1, 2, 9, 9), np.uint8),
    "holds no pictures and no points": np.array(["a.png"]),
    "no picture of a kind that Pillow knows": __file__,
    "floating-point numbers of unknown range": Image.new("F", (9, 9)),
}


@pytest.mark.parametrize("sentence", HOSTILE)
def test_what_is_no_picture_is_a_sentence(ran, sentence):
    with pytest.raises(InputError) as error:
        trainlab.load(ran.run_dir).predict(HOSTILE[sentence])
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("run", "sentence"), [("nope", "does not exist"), (3, "and not by 3"), (__file__, "not a check")]
)
def test_what_is_no_run_is_a_sentence(run, sentence):
    with pytest.raises(InputError, match=sentence):
        trainlab.load(run)


def test_loading_draws_no_random_numbers(ran):
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    trainlab.load(ran.run_dir)
    assert torch.equal(torch.rand(2), expected)


# Tables


def test_the_table_is_what_the_files_say(ran, tmp_path):
    pandas = pytest.importorskip("pandas")
    common = ["logger=none", "trainer.max_epochs=1", "trainer=cpu"]
    for l2 in (0.0, 0.5):
        for seed in (0, 1):
            trainlab.run([*common, "reg=l2", f"reg.l2={l2}", f"seed={seed}"], run_dir=tmp_path / f"l2/{l2}_{seed}")
    words = [*common, "debug=overfit", "optim.lr=1e-9", "trainer.max_epochs=2"]
    with pytest.raises(RunError):
        trainlab.run(words, run_dir=tmp_path / "failed")
    table = trainlab.read_runs(tmp_path / "l2", tmp_path / "failed")
    assert isinstance(table, pandas.DataFrame)
    assert len(table) == 5
    whole = table[table.state == "finished"]
    assert len(whole) == 4
    for _, row in whole.iterrows():
        there = json.loads((Path(row.folder) / "results.json").read_text())
        stored = OmegaConf.load(Path(row.folder) / ".hydra/config.yaml")
        assert (row["reg.l2"], row["seed"], row["model"]) == (stored.reg.l2, stored.seed, stored.model.name)
        for name, value in there.items():
            assert row[name] == value or (value is None and pandas.isna(row[name])), name
    assert table["test/top1_error"].dtype == float
    assert pandas.isna(table[table.state != "finished"]["test/top1_error"]).all()
    assert set(whole.groupby("reg.l2")["seed"].count()) == {2}


@pytest.mark.parametrize(
    ("folders", "sentence"), [((), "which runs"), (("/nonexistent",), "is no folder"), ((["a"],), "is no folder")]
)
def test_what_are_no_runs_is_a_sentence(folders, sentence):
    pytest.importorskip("pandas")
    with pytest.raises(InputError, match=sentence):
        trainlab.read_runs(*folders)


def test_without_pandas_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(InputError, match=r"pip install -e '.\[dataframe\]'"):
        trainlab.read_runs("runs")


@pytest.mark.run
def test_the_example_runs():
    done = command("docs/example.py")
    assert done.returncode == 0, done.stderr
    assert "the MLP's test error is" in done.stdout
    assert done.stdout.count("is taken for a") == 8
