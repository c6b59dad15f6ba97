"""Runs that are killed, asked to stop, or run out of disk: nothing is lost, and the end is the same bits."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import torch
from whole_runs import REPOSITORY, UNDRAWN, Run, children, command, processes_in, small_disk, start_command

from trainlab.errors import RunError, StoppedError
from trainlab.runtime.ranks import judge

pytestmark = pytest.mark.process

# Momentum, a schedule, dropout and random crops: every state that a run has is at stake.
RECIPE = ("model=mlp", "reg=l2_dropout", "aug=crop_flip", "optim.schedule=plateau", "logger=csv", "trainer=cpu")
RECIPE += ("trainer.max_epochs=12",)
KILLS = int(os.environ.get("TRAINLAB_KILLS", "3"))  # random moments


def start(folder: Path, *overrides: str) -> subprocess.Popen:
    with open(f"{folder}.log", "ab") as log:
        return start_command(UNDRAWN, f"hydra.run.dir={folder}", "ckpt=auto", *overrides, stdout=log, stderr=log)


def said(folder: Path) -> str:
    return Path(f"{folder}.log").read_text()


def wait_for(condition, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def progress(folder: Path) -> tuple[int, int]:
    """Epochs, and batches of the next one, that the last checkpoint has done."""
    try:
        done = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["progress"]
    except FileNotFoundError:  # not yet, or just taking the place of the one before
        return 0, 0
    return done["epochs"], done["batches"]


def in_the_second_epoch(folder: Path) -> bool:
    """With batches left to be done."""
    epochs, batches = progress(folder)
    return epochs == 1 and 0 < batches < 100


def same_weights(a: Path, b: Path, name: str = "last") -> bool:
    first, second = (torch.load(f / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"] for f in (a, b))
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert start(folder, *RECIPE).wait(300) == 0, said(folder)
    return folder


def was_killed(folder: Path, moments: random.Random) -> bool:
    """A run, some time between its first and its last epoch; False if it was over before."""
    after = moments.random()
    process = start(folder, *RECIPE)
    metrics = folder / "metrics.csv"
    wait_for(lambda: process.poll() is not None or (metrics.exists() and metrics.read_text().count("\n") > 12 * after))
    time.sleep(0.05 * moments.random())
    process.kill()
    process.wait()
    return not (folder / "results.json").exists()


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_a_random_moment_and_resumed_it_ends_with_the_same_bits(whole, tmp_path, number):
    """The first goes on in another directory."""
    folder, moments = tmp_path / "run", random.Random(number)
    while not was_killed(folder, moments):
        shutil.rmtree(folder)
    if number == 0:
        killed, folder = folder, tmp_path / "elsewhere"
        assert start(folder, *RECIPE, f"ckpt={killed}").wait(300) == 0, said(folder)
    else:
        assert start(folder, *RECIPE).wait(300) == 0, said(folder)
    assert same_weights(whole, folder)
    assert same_weights(whole, folder, "best")
    ended = [Run(0, "", "", run) for run in (whole, folder)]
    assert ended[0].numbers == ended[1].numbers, "metrics.csv is that of an unbroken run"
    assert ended[0].results["test/loss"] == ended[1].results["test/loss"]
    assert not list(folder.rglob("*.tmp")), "nothing half-written is left"


LONG_EPOCHS = (*RECIPE, "optim.schedule=cosine", "trainer.max_epochs=3", "data.batch_size=2", "optim.lr=0.001")
LONG_EPOCHS += ("trainer.save_minutes=0.001",)


@pytest.fixture(scope="module")
def whole_of_long_epochs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long") / "run"
    assert start(folder, *LONG_EPOCHS).wait(300) == 0, said(folder)
    return folder


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT])
def test_asked_to_stop_it_saves_within_the_epoch_and_goes_on_there(whole_of_long_epochs, tmp_path, asked):
    folder = tmp_path / "run"
    process = start(folder, *LONG_EPOCHS)
    wait_for(lambda: in_the_second_epoch(folder))
    process.send_signal(asked)
    assert process.wait(60) == (130 if asked == signal.SIGINT else 75), said(folder)
    assert re.search(r"error: stopped by .* in epoch 2, after \d+ of 647 batches; to go on: the same", said(folder))
    assert start(folder, *LONG_EPOCHS).wait(300) == 0, said(folder)
    assert re.search(r"going on from .*: 1 of 3 epochs and \d+ batches are done", said(folder))
    assert same_weights(whole_of_long_epochs, folder)


def in_a_terminal(*words: str) -> tuple[subprocess.Popen, int]:
    """Leads the session of a terminal of its own; returns the terminal's other end, too."""
    there, here = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=REPOSITORY,
        stdin=here,
        stdout=here,
        stderr=here,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(here)
    return process, there


def read_until(there: int, condition) -> str:
    """What the terminal shows until then; a terminal that nobody reads fills up."""
    shown = b""
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, shown.decode(errors="replace")
        if select.select([there], [], [], 0.05)[0]:
            shown += os.read(there, 65536)
    return shown.decode(errors="replace")


def test_a_closed_terminal_saves_and_ends_it(whole_of_long_epochs, tmp_path):
    folder = tmp_path / "run"
    process, there = in_a_terminal("train.py", f"hydra.run.dir={folder}", *LONG_EPOCHS)
    read_until(there, lambda: in_the_second_epoch(folder))
    os.close(there)
    assert process.wait(60) == 75
    assert start(folder, *LONG_EPOCHS).wait(300) == 0, said(folder)
    assert same_weights(whole_of_long_epochs, folder)


def test_under_nohup_it_goes_on_without_a_terminal(whole, tmp_path):
    folder = tmp_path / "run"
    process, there = in_a_terminal(
        "-c",
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])",
        "train.py",
        f"hydra.run.dir={folder}",
        *RECIPE,
    )
    read_until(there, (folder / "metrics.csv").exists)
    process.send_signal(signal.SIGHUP)
    os.close(there)
    assert process.wait(120) == 0
    assert same_weights(whole, folder)


def test_a_closed_terminal_ends_all_processes_of_a_run(tmp_path):
    folder = tmp_path / "run"
    recipe = (*RECIPE, "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=300")
    process, there = in_a_terminal("train.py", f"hydra.run.dir={folder}", *recipe)
    read_until(there, (folder / "checkpoints/last.ckpt").exists)
    os.close(there)
    assert process.wait(100) == 75
    assert not processes_in(folder)
    assert progress(folder)[0] > 0


def test_saved_within_an_epoch_on_two_processes_it_goes_on_with_one_or_four(tmp_path):
    recipe = ("model=mlp", "model.hidden=[32]", "logger=csv", "trainer.accelerator=cpu", "trainer.max_epochs=2")
    recipe += ("data.batch_size=6", "optim.schedule=constant", "optim.lr=0.01", "trainer.save_minutes=0.001")
    whole, two, four = tmp_path / "whole", tmp_path / "two", tmp_path / "four"
    assert start(whole, *recipe).wait(300) == 0
    process = start(two, *recipe, "trainer=ddp", "trainer.accelerator=cpu")
    wait_for(lambda: in_the_second_epoch(two))
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == 75, said(two)
    assert "in epoch 2, after" in said(two)
    shutil.copytree(two, four)
    assert start(two, *recipe).wait(300) == 0, said(two)
    assert start(four, *recipe, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=4").wait(300) == 0, said(
        four
    )
    rows = [Run(0, "", "", folder).rows for folder in (whole, two, four)]
    for one, other, third in zip(*rows, strict=True):
        for name in ("train/loss", "val/loss", "train/objective"):
            assert other[name] == pytest.approx(one[name], abs=1e-5)
            assert third[name] == pytest.approx(one[name], abs=1e-5)
        assert one["step"] == other["step"] == third["step"]
        assert one["images_seen"] == other["images_seen"] == third["images_seen"]


@pytest.mark.parametrize(
    ("ended", "outcome"),
    [
        ([(1, 75), (0, 75)], SystemExit),  # rank 0 has said it
        ([(1, 75)], StoppedError),  # rank 0 was not done with saving
        ([(1, 75), (0, 1)], StoppedError),  # rank 0 lost the other first
        ([(1, -9)], StoppedError),
        ([(0, 1), (1, 1)], SystemExit),
        ([(1, 1)], RunError),
    ],
)
def test_how_the_ranks_ended_is_how_the_run_ended(tmp_path, ended, outcome):
    with pytest.raises(outcome) as caught:
        judge(ended, 2, tmp_path)
    status = caught.value.code if outcome is SystemExit else caught.value.status
    assert status == (1 if ((0, 1) in ended and (1, 75) not in ended) or ended == [(1, 1)] else 75)


def test_a_request_to_stop_is_no_failure_of_what_it_interrupts():
    """Much code catches Exception, wandb.init and torch.load's readers here among it."""
    assert not issubclass(StoppedError, Exception)


def test_a_rank_that_is_killed_takes_the_others_along_and_the_run_goes_on(tmp_path):
    recipe = (*RECIPE, "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=20")
    folder = tmp_path / "run"
    process = start(folder, *recipe)
    wait_for((folder / "metrics.csv").exists)
    ranks = children(process.pid)
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    assert process.wait(60) == 75
    assert "process 1 of 2 was killed (SIGKILL) and the others were ended; to go on" in said(folder)
    assert not processes_in(folder)
    assert start(folder, *recipe).wait(300) == 0, said(folder)
    assert len(Run(0, "", "", folder).rows) == 20


def test_the_death_of_the_parent_leaves_no_process(tmp_path):
    folder = tmp_path / "run"
    process = start(folder, *RECIPE, "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=50")
    wait_for((folder / "metrics.csv").exists)
    wait_for(lambda: len(set(processes_in(folder))) == 3)
    process.kill()
    process.wait()
    wait_for(lambda: not processes_in(folder), seconds=5)


def test_a_full_disk_ends_in_a_sentence_and_keeps_the_last_good_checkpoint(tmp_path):
    disk = tmp_path / "disk"
    folder = disk / "run"
    with small_disk(disk, "8m"):
        process = start_command("train.py", f"hydra.run.dir={folder}", *RECIPE, "trainer.max_epochs=200")
        wait_for(lambda: (folder / "checkpoints/previous.ckpt").exists())
        with open(disk / "filler", "wb", buffering=0) as filler:
            try:
                while process.poll() is None:
                    filler.write(bytes(65536))
            except OSError:
                pass
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        assert err.startswith("error: ")
        assert "No space left on device" in err
        assert err.count("\n") == 1
        assert "the last good checkpoint is" in out
        (disk / "filler").unlink()
        kept = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
        assert kept["progress"]["epochs"] > 0
        assert not list(folder.rglob("*.tmp"))


def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "results.json").unlink()
    path = folder / "checkpoints/last.ckpt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # one bit
    path.write_bytes(content)
    assert start(folder, *RECIPE).wait(300) == 0, said(folder)
    assert "last.ckpt is damaged; the one before it, previous.ckpt, takes its place" in said(folder)
    assert same_weights(whole, folder)


def test_a_finished_run_is_left_as_it_is(whole, tmp_path):
    before = (whole / "results.json").read_bytes()
    done = command("train.py", f"hydra.run.dir={whole}", *RECIPE)
    assert done.returncode == 2
    assert "holds a run already" in done.stderr
    again = command("train.py", f"hydra.run.dir={whole}", *RECIPE, "ckpt=auto")
    assert again.returncode == 0, again.stderr
    assert "finished already" in again.stdout
    assert (whole / "results.json").read_bytes() == before


def test_a_wandb_folder_that_cannot_be_written_stops_nothing(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "wandb").write_text("a file where a folder should be")
    done = command("train.py", f"hydra.run.dir={folder}", "trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr
    assert "W&B did not start" in done.stdout + done.stderr


def test_a_run_directory_is_enough_to_run_it_again(whole, tmp_path):
    again = command("scripts/rerun.py", str(whole), f"hydra.run.dir={tmp_path / 'again'}", cold=True)
    assert again.returncode == 0, again.stderr
    first, second = (Run(0, "", "", folder) for folder in (whole, tmp_path / "again"))
    assert first.numbers == second.numbers
    assert {k: v for k, v in first.results.items() if k.startswith("test/")} == {
        k: v for k, v in second.results.items() if k.startswith("test/")
    }
    other = command("scripts/rerun.py", str(whole), "optim.lr=1")
    assert other.returncode == 2
    assert "would make it another run" in other.stderr


def torchrun(*words: str) -> subprocess.Popen:
    # On a bare machine its own name may lead nowhere, and torchrun waits for it.
    return start_command("-m", "torch.distributed.run", "--local-addr=127.0.0.1", *words, stderr=subprocess.STDOUT)


def test_two_torchrun_nodes_on_one_machine_train_as_one_process(tmp_path):
    recipe = ("model=mlp", "model.hidden=[32]", "logger=csv", "trainer.max_epochs=2", "data.batch_size=51")
    one = command(UNDRAWN, f"hydra.run.dir={tmp_path / 'one'}", *recipe, "trainer=cpu")
    assert one.returncode == 0
    typed = ("train.py", *recipe, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=1", "trainer.nodes=2")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        there = f"127.0.0.1:{free.getsockname()[1]}"
    meet = ("--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint={there}", "--rdzv-id=7")
    nodes = [torchrun(*meet, *typed, f"hydra.run.dir={tmp_path / 'two'}") for _ in range(2)]
    for node in nodes:
        out, _ = node.communicate(timeout=200)
        assert node.returncode == 0, out
    for a, b in zip(*(Run(0, "", "", tmp_path / name).rows for name in ("one", "two")), strict=True):
        assert b["train/loss"] == pytest.approx(a["train/loss"], abs=1e-5)


def test_a_sweep_under_torchrun_runs_each_point_once(tmp_path):
    typed = ("train.py", "-m", "seed=0,1", "logger=csv", "trainer.max_epochs=1", f"hydra.sweep.dir={tmp_path}")
    sweep = torchrun("--standalone", "--nproc-per-node=2", *typed, "trainer=ddp", "trainer.accelerator=cpu")
    out, _ = sweep.communicate(timeout=200)
    assert sweep.returncode == 0, out
    assert "2 of 2 points are finished" in out
    assert len(list(tmp_path.glob("*/results.json"))) == 2
    wrong = torchrun("--standalone", "--nproc-per-node=2", "train.py", "trainer.devices=1")
    out, _ = wrong.communicate(timeout=100)
    assert "torchrun started 2 devices and trainer.devices=1 is asked for" in out
