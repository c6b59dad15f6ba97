"""A command that was a mistake leaves the disk as it was: nothing of its own, and all that was there."""

from __future__ import annotations

from pathlib import Path

import pytest
from whole_runs import command

from trainlab.command.main import make_run_directory, report_user_errors
from trainlab.errors import InputError, RunError, TakenError
from trainlab.survival import undo
from trainlab.survival.undo import Footprint, undone_on_a_mistake


def everything(root: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")}


def begin(folder: Path) -> None:
    """What Hydra and a run write before anything is known to be right."""
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    for name in (".hydra/config.yaml", ".hydra/overrides.yaml", "multirun.yaml", ".lock", "rank_1.log"):
        (folder / name).write_text("of this command")


def test_what_a_command_began_is_gone_with_the_folders_that_it_made(tmp_path: Path) -> None:
    print_of = Footprint(tmp_path / "runs" / "a" / "b")
    begin(tmp_path / "runs/a/b")
    print_of.undo()
    assert everything(tmp_path) == {}
    assert tmp_path.is_dir()


@pytest.mark.parametrize("there", ["empty", "a file", "a run", "a folder beside"])
def test_what_was_there_before_is_as_it_was(tmp_path: Path, there: str) -> None:
    folder = tmp_path / "runs" / "run"
    folder.mkdir(parents=True) if there != "a folder beside" else (tmp_path / "runs" / "other").mkdir(parents=True)
    if there == "a file":
        (folder / "mine.txt").write_text("mine")
    if there == "a run":
        begin(folder)
        (folder / "checkpoints").mkdir()
        for name in (".hydra/config.yaml", "checkpoints/last.ckpt", "results.json", "rank_1.log"):
            (folder / name).write_text("of the run")
    before = everything(tmp_path)
    print_of = Footprint(folder)
    begin(folder)
    assert everything(tmp_path) != before
    print_of.undo()
    assert everything(tmp_path) == before


def test_work_that_was_done_stays_with_what_describes_it(tmp_path: Path) -> None:
    print_of = Footprint(tmp_path / "run")
    begin(tmp_path / "run")
    (tmp_path / "run/checkpoints").mkdir()
    before = everything(tmp_path)
    print_of.undo()
    assert everything(tmp_path) == before


def test_somebody_elses_files_stay(tmp_path: Path) -> None:
    print_of = Footprint(tmp_path / "runs" / "mine")
    begin(tmp_path / "runs/mine")
    (tmp_path / "runs/theirs").mkdir()
    print_of.undo()
    assert everything(tmp_path) == {"runs": None, "runs/theirs": None}


@pytest.mark.parametrize(
    ("error", "environment", "left"),
    [
        (InputError("x"), {}, False),
        (SystemExit(2), {}, False),
        (InputError("x"), {"HYDRA_FULL_ERROR": "1"}, False),
        (InputError("x"), {"RANK": "1", "WORLD_SIZE": "2"}, True),
        (InputError("x"), {"NODE_RANK": "1"}, True),
        (RunError("x"), {}, True),
        (SystemExit(1), {}, True),
        (TakenError("x"), {}, True),
    ],
)
def test_only_a_mistake_is_undone_and_by_the_first_process(tmp_path, monkeypatch, error, environment, left) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(undo, "WAIT_SECONDS", 0)

    @report_user_errors
    def mistaken() -> None:
        make_run_directory(tmp_path / "runs" / "run")
        begin(tmp_path / "runs/run")
        raise error

    with pytest.raises((SystemExit, InputError)):
        mistaken()
    assert (tmp_path / "runs/run/.hydra/config.yaml").exists() == left
    assert (tmp_path / "runs").exists() == left


def test_a_command_that_came_into_a_running_one_gives_it_its_configuration_back(tmp_path: Path) -> None:
    begin(tmp_path / "run")
    (tmp_path / "run/.hydra/config.yaml").write_text("of the run")

    @report_user_errors
    def second() -> None:
        make_run_directory(tmp_path / "run")
        begin(tmp_path / "run")
        raise TakenError("another command is running")

    with pytest.raises(SystemExit):
        second()
    assert (tmp_path / "run/.hydra/config.yaml").read_text() == "of the run"


def begin_and_raise(folder: Path, error: Exception) -> None:
    with undone_on_a_mistake(folder):
        begin(folder)
        raise error


def test_inside_a_command_only_a_mistake_is_undone(tmp_path: Path) -> None:
    for error, left in ((InputError, False), (TakenError, True), (RunError, True)):
        folder = tmp_path / error.__name__
        with pytest.raises(error):
            begin_and_raise(folder, error("x"))
        assert folder.exists() == left


MISTAKES = {
    "data that are not there": ["data=image_folder", "data.root=/nonexistent"],
    "a network that the data do not fit": ["model=alexnet", "data=moons"],
    "a checkpoint that is not there": ["ckpt=nothing"],
    "two processes": ["trainer=ddp", "trainer.accelerator=cpu", "data=image_folder", "data.root=/nonexistent"],
    "more processes than examples": ["data.val_fraction=0.002", "trainer=cpu", "trainer.devices=4"],
    "more than the machine holds": ["trainer=cpu", "trainer.devices=100000"],
    "a sweep with a wrong point": ["-m", "optim.lr=0.1,-1"],
    "a sweep with a wrong launcher": ["-m", "seed=0,1", "hydra.launcher.n_jobs=0"],
    "a sweep with no room": ["-m", "seed=0,1", "hydra.launcher.n_jobs=100000"],
    "a sweep that cannot be looked up": ["-m", "seed=0,1", "hydra.sweep.subdir='${oc.env:NOSUCH}'"],
}


@pytest.mark.process
@pytest.mark.parametrize(
    ("mistake", "before"),
    [
        *((name, False) for name in MISTAKES),
        *((name, True) for name in ("a checkpoint that is not there", "two processes", "a sweep with a wrong point")),
    ],
)
def test_after_status_2_nothing_is_left(tmp_path: Path, mistake: str, before: bool) -> None:
    folder = tmp_path / "deep" / "run"
    if before:
        folder.mkdir(parents=True)
        (folder / "notes.txt").write_text("mine")
    there = everything(tmp_path)
    done = command("train.py", *MISTAKES[mistake], f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}", "logger=csv")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert everything(tmp_path) == there


@pytest.mark.process
def test_a_run_that_is_gone_on_with_wrongly_is_as_it_was(train) -> None:
    run = train("logger=csv", "trainer=cpu", "trainer.max_epochs=1")
    assert run.status == 0, run.err
    there = everything(run.folder)
    wrong = train("logger=csv", "trainer=cpu", "trainer.max_epochs=2", "optim.lr=0.7", "ckpt=auto", folder=run.folder)
    if wrong.status == 0:  # it was finished already, and nothing was asked of it
        assert "finished already" in wrong.out
    (run.folder / "results.json").unlink()
    del there["results.json"]
    wrong = train("logger=csv", "trainer=cpu", "trainer.max_epochs=2", "optim.lr=0.9", "ckpt=auto", folder=run.folder)
    assert wrong.status == 2, wrong.out + wrong.err
    now = everything(run.folder)
    assert {k: v for k, v in now.items() if k != ".hydra/config.yaml"}.keys() == there.keys() - {".hydra/config.yaml"}
    assert b"lr: 0.9" not in (now[".hydra/config.yaml"] or b"")


@pytest.mark.process
def test_packing_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "source/train/a").mkdir(parents=True)
    there = everything(tmp_path)
    done = command("scripts/pack_images.py", str(tmp_path / "source"), str(tmp_path / "deep" / "out"))
    assert done.returncode == 2
    assert everything(tmp_path) == there
