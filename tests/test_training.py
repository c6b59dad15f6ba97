"""Whole runs, as a user starts them, and what they leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
import torch
from PIL import Image
from whole_runs import REPOSITORY, command, start_command

pytestmark = pytest.mark.run

QUICK = ("logger=csv", "trainer.max_epochs=2", "trainer=cpu")


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def checked_out() -> str | None:
    """The commit, as git has it; None where there is no git, or only a copy of the files."""
    words = ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@pytest.fixture(scope="module")
def mlp(train):
    """An MLP on digits with dropout, four epochs."""
    run = train("model=mlp", "reg=l2_dropout", "trainer.max_epochs=4", "logger=csv", figures=True)
    assert run.status == 0, run.err
    return run


def test_a_run_leaves_all_there_is_to_know(mlp):
    left = {str(path.relative_to(mlp.folder)) for path in mlp.folder.rglob("*") if path.is_file()}
    assert {"metrics.csv", "results.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= left
    assert {".hydra/config.yaml", ".hydra/overrides.yaml"} <= left
    figures = {"learning_curves", "confusion_matrix", "first_layer", "worst_mistakes"}
    assert {f"figures/{name}.png" for name in figures} <= left
    for name in figures:
        with Image.open(mlp.folder / "figures" / f"{name}.png") as image:
            assert image.width >= 600
            assert len(image.convert("RGB").resize((64, 64)).getcolors(5000)) > 8, f"{name} is blank"


def test_the_rows_and_the_results_agree(mlp):
    rows, results = mlp.rows, mlp.results
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert results["last/epoch"] == 4
    for name in ("train/loss", "val/loss", "val/top1_error", "train/objective"):
        assert results[f"last/{name}"] == rows[-1][name]
    assert results["best/val/top1_error"] == min(row["val/top1_error"] for row in rows)
    assert all(0 <= value <= 1 for row in rows for name, value in row.items() if name.endswith("_error"))
    assert results["test/epoch"] == min(rows, key=lambda row: row["val/top1_error"])["epoch"]
    assert all(row["train/objective"] > row["train/loss"] for row in rows), "L2 is part of the objective"
    for key in ("images_per_second", "seconds", "peak_memory_mb", "torch", "lightning"):
        assert results[key], key
    assert 0 < results["mfu"] < 1
    head = checked_out()
    assert results["commit"] in ((head, f"{head}+changes") if head else (None,))
    assert all(not isinstance(value, dict | list) for value in results.values()), "results.json is flat"


def test_plain_lines_where_there_is_no_terminal(mlp):
    assert "\x1b" not in mlp.out
    assert "\r" not in mlp.out
    assert re.search(r"epoch 4/4 · [\d,]+ img/s · train loss [\d.]+, error [\d.]+% · val loss", mlp.out)
    assert "one view" in mlp.out
    assert "total" in mlp.out
    assert mlp.err == "", "nothing but errors belongs on standard error"


def test_same_seed_same_numbers_other_seed_other_numbers(train, mlp):
    # In an interpreter of its own, whose sets of strings have another order than those of `mlp`.
    again = train("model=mlp", "reg=l2_dropout", "trainer.max_epochs=4", "logger=csv", cold=True)
    other = train("model=mlp", "reg=l2_dropout", "trainer.max_epochs=4", "logger=csv", "seed=1")
    assert again.numbers == mlp.numbers
    assert other.rows[0]["train/loss"] != mlp.rows[0]["train/loss"]


def test_two_processes_train_as_one(train):
    """The same global batches (the last one odd), dropout off, all crops: the same losses; each test example once."""
    common = ("model=mlp", "model.hidden=[32]", "aug=tencrop", "logger=csv", "trainer.max_epochs=2")
    common += ("data.batch_size=51", "optim.schedule=constant")
    one = train(*common, "trainer=cpu")
    two = train(*common, "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
    assert two.status == 0, two.err
    assert len(two.rows) == 2
    for a, b in zip(one.rows, two.rows, strict=True):
        for name in ("train/loss", "val/loss", "train/objective"):
            assert b[name] == pytest.approx(a[name], abs=1e-5), name
        assert b["step"] == a["step"]
    assert two.results["test/loss"] == pytest.approx(one.results["test/loss"], abs=1e-5)
    for name in ("test/top1_error", "test/top1_error_tencrop"):
        assert round(two.results[name] * 360, 6).is_integer(), "360 test examples, each counted once"
    assert two.out.count("one view") == 1, "one process speaks"


def test_batch_gradient_descent_reaches_the_least_squares_solution(train):
    run = train("data=linear", "optim=gd", "loss=half_mse", "logger=csv", figures=True)
    assert run.status == 0, run.err
    assert run.results["least_squares/weight_gap"] < 1e-4
    assert run.results["least_squares/objective_gap"] < 1e-6
    assert run.results["last/epoch"] < 10000, "it stopped by its own rule"
    assert "distance to the least-squares solution" in run.out
    stopped = run.rows[-1]["epoch"]
    assert stopped % 100, "the epoch it stops in has no validation of its own"
    assert "val/loss" in run.rows[-1]
    assert torch.load(run.folder / "checkpoints/last.ckpt", weights_only=True)["epoch"] + 1 == stopped
    assert (run.folder / "figures/decision_regions.png").exists()


def test_a_run_draws_no_figures_where_none_are_wanted(train):
    run = train("data=moons", "logger=csv", "trainer.max_epochs=1", "figures=false", figures=True)
    assert run.status == 0, run.err
    assert not (run.folder / "figures").exists()


def test_early_stopping(train):
    run = train(*QUICK, "trainer.max_epochs=50", "trainer.patience=2", "optim.lr=0.0000001")
    assert run.results["last/epoch"] <= 4


def test_ten_crops_beside_one_view_and_reflections_left_out(train, mlp):
    run = train("aug=tencrop", *QUICK)
    assert "reflected views are left out" in run.out
    assert "5 crops" in run.out
    assert {"test/top1_error", "test/top1_error_tencrop"} <= run.results.keys()
    assert "an epoch is 6,465 examples: 5 views of each image" in run.out
    assert "test/top1_error_tencrop" not in mlp.results


def test_small_images_are_enlarged_and_it_is_said(train):
    run = train("model=convnet", "data=digits", "aug=none", *QUICK, "trainer.max_epochs=1", "model.channels=[4,4,4]")
    assert run.status == 0, run.err
    run = train("model=alexnet", "aug=none", "debug=quick", "debug.batches=1", "data.batch_size=8", "reg.dropout=0")
    assert run.status == 0, run.err
    assert "enlarged from 8×8 to 63×63" in run.out


def test_a_loss_that_is_no_number_ends_the_run_with_status_1(train):
    run = train("loss=half_mse", "optim.lr=0.5", "logger=csv")
    assert run.status == 1
    assert run.err.startswith("error: the loss became infinite or not a number in epoch")
    assert run.err.count("\n") == 1
    assert "optim.lr=0.05" in run.err
    assert not (run.folder / "results.json").exists()
    kept = run.folder / "checkpoints/last.ckpt"
    assert all(torch.isfinite(w).all() for w in weights(kept).values())


def test_two_processes_that_diverge_end_in_one_sentence(train):
    run = train("loss=half_mse", "optim.lr=0.5", "logger=csv", "trainer=ddp", "trainer.accelerator=cpu")
    assert run.status == 1, run.out
    assert run.err.count("error: the loss became infinite") == 1


def test_a_bad_image_by_name_or_skipped_and_counted(train, tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for index in range(30):
            Image.new("RGB", (20, 14), (index, 80 if name == "cats" else 160, 9)).save(tmp_path / name / f"{index}.png")
    (tmp_path / "cats" / "broken.jpg").write_bytes(b"no picture")
    common = ("data=image_folder", f"data.root={tmp_path}", "data.size=8", "data.batch_size=8", *QUICK)
    run = train(*common)
    assert run.status == 2
    assert "broken.jpg" in run.err
    assert run.err.count("\n") == 1
    run = train(*common, "data.on_bad_image=skip")
    assert run.status == 0, run.err
    assert run.results["skipped_images"] == 1
    assert "1 image could not be decoded and is left out" in run.out


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["data.batch_size=5000"], "more than the 1293 training examples"),
        (["data=image_folder", "data.root=/nonexistent"], "/nonexistent"),
        (["model=convnet", "data=moons"], "points"),
        (["ckpt=pyproject.toml"], "is not a checkpoint"),
        (["ckpt=/nonexistent.ckpt"], "does not exist"),
        (["+model.depth=3"], "depth"),
        (["trainer=gpu"], "CUDA"),
    ],
)
def test_mistakes_that_only_the_run_can_find(train, typed, sentence):
    if "trainer=gpu" in typed and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    run = train(*typed)
    assert run.status == 2
    assert sentence in run.err
    assert run.err.count("\n") == 1
    assert run.err.startswith("error: ")


def test_a_checkpoint_of_another_network_is_refused(train, mlp):
    run = train("model=perceptron", f"ckpt={mlp.folder}")
    assert run.status == 2
    assert "was trained with model." in run.err


def test_a_resumed_run_goes_on_as_it_began(train, mlp):
    """torch would take the learning rate from the checkpoint and say nothing."""
    run = train("model=mlp", "reg=l2_dropout", "trainer.max_epochs=4", f"ckpt={mlp.folder}")
    assert run.status == 2
    assert "has done 4 epochs already" in run.err
    run = train("model=mlp", "reg=l2_dropout", "optim.lr=0.01", f"ckpt={mlp.folder}")
    assert run.status == 2
    assert "was trained with optim.lr=0.05, and optim.lr=0.01 is asked for" in run.err


def test_without_a_validation_set_the_last_weights_are_tested(train):
    run = train("data.val_fraction=0", *QUICK)
    assert run.status == 0, run.err
    assert run.results["test/epoch"] == 2
    assert not (run.folder / "checkpoints/best.ckpt").exists()
    assert not any(name.startswith("val/") for name in run.rows[0])


def test_evaluate_gives_the_results_again_and_other_views(mlp):
    script = ("scripts/evaluate.py", f"ckpt={mlp.folder}")
    same = command(*script, cold=True)
    assert same.returncode == 0, same.stderr
    assert f"{mlp.results['test/top1_error']:.2%}" in same.stdout
    crops = command(*script, "aug=tencrop")
    assert crops.returncode == 0, crops.stderr
    assert "5 crops" in crops.stdout
    other = command(*script, "data.batch_size=7", "data=fashion_mnist", "data.root=/nonexistent", "data.download=false")
    assert other.returncode == 2
    assert "/nonexistent" in other.stderr
    fixed = command(*script, "model=perceptron")
    assert fixed.returncode == 2
    assert "fixed by the checkpoint" in fixed.stderr


def test_describe_prints_the_lectures_table():
    done = command("scripts/describe.py", "model=alexnet")
    assert done.returncode == 0, done.stderr
    for number in ("60,965,224", "724,406,816", "290,400", "37,748,736", "55×55×96"):
        assert number in done.stdout


def test_a_run_in_a_terminal_draws_a_bar(tmp_path):
    ours, theirs = pty.openpty()
    words = ("train.py", f"hydra.run.dir={tmp_path}/run", "trainer.max_epochs=10", "logger=csv")
    process = start_command(*words, cold=True, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with open(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):  # Linux's word for "nobody is there"
        while read := terminal.read(65536):
            shown += read
    assert process.wait(300) == 0, shown.decode()
    assert "━" in shown.decode()
    assert "\x1b[" in shown.decode()
    assert json.loads((tmp_path / "run/results.json").read_text())["last/epoch"] == 10


def test_the_plateau_ends_the_run_after_its_drops(train):
    """ε is divided by ten at each stall, and the stall after the last division ends the run (§5)."""
    run = train("optim.schedule=plateau", "optim.plateau_patience=0", "optim.plateau_drops=2", "logger=csv")
    assert run.status == 0, run.err
    rates = [row["lr"] for row in run.rows]
    assert len(set(rates)) == 3
    assert rates == sorted(rates, reverse=True)
    assert run.results["last/epoch"] < 100
    errors = [row["val/top1_error"] for row in run.rows]
    assert errors[-1] >= min(errors[:-1]), "it ended at a stall"
