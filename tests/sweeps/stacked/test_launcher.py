"""A stacked sweep as a user starts it: what it leaves is what processes leave, and every command takes it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from whole_runs import DRAWN, UNDRAWN, Run, command, processes_in, small_disk

from trainlab.command.evaluation import draw_missing

pytestmark = pytest.mark.process

SMALL = ("model=mlp", "model.hidden=[8]", "trainer=cpu", "trainer.max_epochs=5", "trainer.threads=1")
CLOCK = re.compile(r".*(seconds|images_per_second|mfu|peak_memory_mb|commit|stacked)")


def sweep(folder: Path, *words: str, launcher: str = "stacked", script: str = UNDRAWN) -> subprocess.CompletedProcess:
    return command(script, "-m", f"hydra.sweep.dir={folder}", f"hydra/launcher={launcher}", *words)


def names(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.endswith((".lock", "log.txt", "multirun.yaml", "previous.ckpt"))}


def like(value: Any, name: str) -> Any:
    """What counts as the same number: losses to rounding; of the errors a tie may fall to the other side."""
    if not isinstance(value, float):
        return value
    return pytest.approx(value, abs=2e-3) if name.endswith("_error") else pytest.approx(value, rel=1e-5)


@pytest.fixture(scope="module", params=["checked", "watched", "plain"])
def both(request, tmp_path_factory):
    """The same sweep, stacked and in processes."""
    words = {
        "checked": ("trainer.validate_every=2", "trainer.patience=9", "reg.l2=0,1e-3"),
        "watched": ("optim.schedule=plateau", "optim.plateau_patience=0", "optim.bias_lr=0.1", "optim.lr=0.05,0.2"),
        "plain": (
            "optim=sgd",
            "optim.schedule=constant",
            "data=moons",
            "data.val_fraction=0",
            "trainer.monitor=train/loss",
        ),
    }[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    for launcher in ("stacked", "processes"):
        done = sweep(folder / launcher, *SMALL, *words, "seed=0,1", "logger=csv", launcher=launcher)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "stacked", folder / "processes"


def test_it_leaves_what_processes_leave(both):
    stacked, processes = both
    assert names(stacked) == names(processes)
    assert json.loads((stacked / "sweep.json").read_text())["points"].keys() == {
        path.parent.name for path in processes.glob("*/point.json")
    }
    for path in processes.glob("*/point.json"):
        ours, theirs = Run(0, "", "", stacked / path.parent.name), Run(0, "", "", path.parent)
        assert (ours.folder / "metrics.csv").read_text().split("\n")[0] == (
            theirs.folder / "metrics.csv"
        ).read_text().split("\n")[0]
        for mine, its in zip(ours.numbers, theirs.numbers, strict=True):
            assert list(mine) == list(its)
            assert all(mine[name] == like(value, name) for name, value in its.items())
        assert list(ours.results) == [*theirs.results, "stacked"]
        for name, value in theirs.results.items():
            if not CLOCK.fullmatch(name):
                assert ours.results[name] == like(value, name)
        assert ours.results["stacked"] == len(list(processes.glob("*/point.json")))
        assert json.loads(path.read_text())["config"] == json.loads((ours.folder / "point.json").read_text())["config"]


def test_hydras_files_are_the_same_but_for_the_launcher_and_the_folder(both):
    stacked, processes = both
    for path in processes.glob("*/.hydra/*.yaml"):
        ours = (stacked / path.relative_to(processes)).read_text()
        ours = ours.replace(str(stacked), str(processes)).replace("StackedLauncher", "ProcessesLauncher")
        assert (
            ours.replace("launcher: stacked", "launcher: processes").replace(
                "hydra/launcher=stacked", "hydra/launcher=processes"
            )
            == path.read_text()
        )


def leaves(tree, path=()):
    if isinstance(tree, dict | list | tuple):
        entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {place: leaf for key, inner in entries for place, leaf in leaves(inner, (*path, key)).items()} or {
            path: type(tree)
        }
    return {path: tree}


def test_its_checkpoints_are_lightnings_to_the_last_leaf(both):
    stacked, processes = both
    files = list(processes.glob("*/checkpoints/*.ckpt"))
    assert {file.name for file in files} >= {"last.ckpt", "best.ckpt"}
    for file in files:
        if file.name == "previous.ckpt":
            continue
        its = leaves(torch.load(file, weights_only=True))
        mine = leaves(torch.load(stacked / file.relative_to(processes), weights_only=True))
        moved = {
            tuple(str(k).replace(str(stacked), str(processes)) for k in place): leaf for place, leaf in mine.items()
        }
        assert moved.keys() == {tuple(map(str, place)) for place in its}, file
        for place, leaf in its.items():
            ours = moved[tuple(map(str, place))]
            assert type(ours) is type(leaf), place
            if place[-1] in ("seconds", "training_seconds", "images_per_second"):
                continue
            if isinstance(leaf, torch.Tensor):
                torch.testing.assert_close(ours, leaf, rtol=1e-4, atol=1e-6)
            elif isinstance(leaf, float):
                assert ours == like(leaf, str(place[-1])), place
            else:
                assert str(ours).replace(str(stacked), str(processes)) == str(leaf), place


def test_commands_take_its_points(both, tmp_path):
    stacked, _ = both
    point = next(stacked.glob("*seed-1*/results.json")).parent
    evaluated = command("scripts/evaluate.py", f"ckpt={point}", "trainer=cpu")
    assert evaluated.returncode == 0, evaluated.stderr
    assert f"{Run(0, '', '', point).results['test/top1_error']:.2%}" in evaluated.stdout
    epochs = len(Run(0, "", "", point).rows)
    chosen = json.loads((point / "point.json").read_text())["overrides"]
    longer = [word for word in chosen if not word.startswith(("trainer.max_epochs", "logger"))]
    gone_on = command(
        UNDRAWN,
        f"hydra.run.dir={tmp_path / 'on'}",
        f"ckpt={point}",
        f"trainer.max_epochs={epochs + 2}",
        "logger=csv",
        *longer,
    )
    assert gone_on.returncode == 0, gone_on.stderr
    assert [row["epoch"] for row in Run(0, "", "", tmp_path / "on").rows] == list(range(1, epochs + 3))


def test_processes_find_its_points_finished_and_the_table_has_all(both, tmp_path):
    stacked, _ = both
    listed = json.loads((stacked / "sweep.json").read_text())
    words = [word for word in listed["overrides"] if not word.startswith("hydra/launcher")]
    again = sweep(stacked, *words, launcher="processes")
    count = len(listed["points"])
    assert again.returncode == 0, again.stderr
    assert f"{count} of {count} points are finished, {count} of them before" in again.stdout
    table = command("scripts/report.py", str(stacked), "--table", "markdown", "--out", str(tmp_path))
    assert table.returncode == 0, table.stderr
    assert "2" in table.stdout.splitlines()[2].split("|")[-2]


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    """Four points of one stack, of which two diverge, and two that go into none; drawn, because that was asked for."""
    folder = tmp_path_factory.mktemp("failing")
    words = ("loss=half_mse", "optim.lr=0.01,2", "seed=0,1", "trainer.max_epochs=3", "trainer=cpu", "figures=true")
    return folder, sweep(folder, *words, script=DRAWN)


def test_a_failing_member_is_marked_and_disturbs_nobody(failing, tmp_path):
    folder, done = failing
    assert done.returncode == 1
    assert "4 points, in 1 stack" in done.stdout
    assert "2 of 4 points are finished" in done.stdout
    assert done.stdout.count("failed: optim.lr-2_seed-") == 2
    for point in folder.glob("*/point.json"):
        run = Run(0, "", "", point.parent)
        failed = point.parent.name.startswith("optim.lr-2_")
        assert (run.folder / "results.json").exists() != failed
        assert (run.folder / "figures/learning_curves.png").exists() != failed
        assert json.loads((run.folder / "status.json").read_text())["state"] == ("failed" if failed else "finished")
        if failed:
            assert "error: the loss became infinite or not a number in epoch" in (run.folder / "log.txt").read_text()
    alone = sweep(
        tmp_path, "loss=half_mse", "optim.lr=0.01", "seed=0,1", "trainer.max_epochs=3", "trainer=cpu", "logger=csv"
    )
    assert alone.returncode == 0, alone.stderr
    for seed in (0, 1):
        runs = [next(where.glob(f"*seed-{seed}*/results.json")).parent for where in (folder, tmp_path)]
        ours, theirs = (torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in runs)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), "whoever else is in the stack"
    assert not (folder / "stacks").exists(), "nothing is left of a stack at its end"


def test_the_figures_of_a_point_can_be_drawn_afterwards(failing):
    folder, _ = failing
    (point,) = folder.glob("*lr-0.01*seed-0*")
    drawn = {path: path.read_bytes() for path in (point / "figures").glob("*.png")}
    for path in drawn:
        path.unlink()
    draw_missing([folder])
    assert {path: path.read_bytes() for path in (point / "figures").glob("*.png")} == drawn


def test_wandb_has_a_run_for_each_and_the_failed_one_is_marked(failing):
    folder, done = failing
    assert "W&B recorded offline" in done.stdout
    for point in folder.glob("*/point.json"):
        (record,) = point.parent.glob("wandb/offline-run-*")
        assert record.name.endswith((point.parent / "wandb/id").read_text())


def test_the_same_command_repeats_what_failed_alone(failing):
    folder, _ = failing
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/results.json")}
    words = ("loss=half_mse", "optim.lr=0.01,2", "seed=0,1", "trainer.max_epochs=3", "trainer=cpu", "figures=true")
    again = sweep(folder, *words)
    assert again.returncode == 1
    assert "2 finished before" in again.stdout
    assert again.stdout.count("runs anew, because it failed") == 2
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/results.json")} == before


def test_a_point_that_cannot_be_made_fails_with_its_sentence(tmp_path):
    done = sweep(tmp_path, *SMALL, "data=moons", "data.batch_size=20,1000", "seed=0,1", "logger=csv")
    assert done.returncode == 1, done.stdout
    assert "2 of 4 points are finished" in done.stdout
    assert "data.batch_size=1000 is more than the" in done.stdout


def test_a_point_begun_by_itself_goes_on_by_itself(tmp_path):
    assert sweep(tmp_path, *SMALL, "seed=0,1", "logger=csv", launcher="processes").returncode == 0
    for results in tmp_path.glob("*seed-0*/results.json"):
        results.unlink()
    done = sweep(tmp_path, *SMALL, "seed=0,1,2,3", "logger=csv")
    assert done.returncode == 0, done.stdout
    assert "in 1 stack and 1 by themselves, 1 at a time (its run by itself was begun before)" in done.stdout
    assert "going on from" in next(tmp_path.glob("*seed-0*/log.txt")).read_text()


def test_a_full_disk_is_a_sentence_and_the_same_command_goes_on(tmp_path):
    words = (*SMALL, "data=moons", "seed=range(0,20)", "logger=csv")
    disk = tmp_path / "disk"
    with small_disk(disk, "8m"):
        folder = disk / "sweep"
        with open(disk / "filler", "wb", buffering=0) as filler:
            filler.write(bytes(7_800_000))
        done = sweep(folder, *words)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "cannot be written (No space left on device)" in done.stdout
        assert "0 of 20 points are finished" in done.stdout
        (disk / "filler").unlink()
        done = sweep(folder, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "20 of 20 points are finished" in done.stdout
        assert not processes_in(folder)
