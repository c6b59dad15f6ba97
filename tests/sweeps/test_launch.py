"""Sweeps, as a user starts them: points in processes of their own, failures listed, the same command goes on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from whole_runs import DRAWN, REPOSITORY, UNDRAWN, Run, command, processes_in, start_command

pytestmark = pytest.mark.process

QUICK = ("logger=csv", "trainer=cpu", "trainer.max_epochs=3")


def sweep(folder: Path, *overrides: str, cold: bool = False) -> subprocess.CompletedProcess[str]:
    """cold: all of it, and with figures."""
    return command(DRAWN if cold else UNDRAWN, "-m", f"hydra.sweep.dir={folder}", *overrides, cold=cold)


def start_sweep(folder: Path, *overrides: str) -> subprocess.Popen:
    return start_command(UNDRAWN, "-m", f"hydra.sweep.dir={folder}", *overrides, stderr=None)


def points(folder: Path) -> dict[str, Path]:
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/point.json"))}


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    """Four points, of which two diverge."""
    folder = tmp_path_factory.mktemp("sweep")
    return folder, sweep(folder, "loss=half_mse", "optim.lr=0.01,2", "seed=0,1", *QUICK, cold=True)


def test_a_failing_point_is_listed_and_the_rest_go_on(failing):
    folder, done = failing
    assert done.returncode == 1
    assert "2 of 4 points are finished" in done.stdout
    assert done.stdout.rstrip().endswith("--html report.html --open"), "the last line says how to look at it"
    assert done.stdout.count("failed: optim.lr-2_seed-") == 2
    assert "the loss became infinite or not a number" in done.stdout
    found = points(folder)
    assert len(found) == 4
    for name, path in found.items():
        assert (path / "results.json").exists() == name.startswith("optim.lr-0.01_")
        assert str(path.relative_to(folder) / "log.txt") in done.stdout or "0.01" in name
        assert (path / ".hydra/config.yaml").exists()
    assert "\x1b" not in done.stdout, "plain lines where there is no terminal"


def test_the_page_of_a_real_sweep_has_its_numbers_and_its_failures(failing, tmp_path):
    folder, _ = failing
    done = command("scripts/report.py", str(folder), "--html", str(tmp_path / "x.html"))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "x.html").read_text()
    assert "<h1>optim.lr</h1>" in text
    assert "4 runs: 2 settings, 2 seeds each · 2 failed" in text
    found = re.search(r'id="records">(.*?)</script>', text, re.DOTALL)
    assert found
    data = json.loads(found[1])
    ended = [(run["rows"], "became infinite" in run["log"]) for run in data["runs"]]
    assert sorted(ended) == [(0, True), (0, True), (3, False), (3, False)]


def test_a_point_is_the_run_of_the_single_command(failing, tmp_path):
    folder, _ = failing
    (path,) = folder.glob("optim.lr-0.01_seed-1_*/results.json")
    alone = command(UNDRAWN, f"hydra.run.dir={tmp_path / 'run'}", "loss=half_mse", "optim.lr=0.01", "seed=1", *QUICK)
    assert alone.returncode == 0
    assert Run(0, "", "", path.parent).numbers == Run(0, "", "", tmp_path / "run").numbers


def test_the_same_command_skips_what_is_finished_and_runs_failures_and_what_has_changed_again(failing):
    folder, _ = failing
    kept, changed = (next(folder.glob(f"optim.lr-0.01_seed-{seed}_*/point.json")) for seed in (0, 1))
    point = json.loads(kept.read_text())
    kept.write_text(json.dumps(point | {"commit": "0123456789"}))
    point = json.loads(changed.read_text())
    point["config"]["data"]["batch_size"] = 7
    changed.write_text(json.dumps(point))
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/results.json")}
    again = sweep(folder, "loss=half_mse", "optim.lr=0.01,2", "seed=0,1", *QUICK)
    assert again.returncode == 1, again.stdout + again.stderr
    assert "1 finished before" in again.stdout
    assert "runs anew, because it failed" in again.stdout
    assert f"{kept.parent.name}: the code has changed since (0123456 →" in again.stdout
    assert "kept as it is" in again.stdout
    assert (
        f"{changed.parent.name}: runs anew, because its configuration has changed (data.batch_size: 7 → 64)"
        in again.stdout
    )
    now = {path: path.stat().st_mtime_ns for path in folder.glob("*/results.json")}
    assert now.keys() == before.keys()
    assert [path.parent.name for path in now if now[path] == before[path]] == [kept.parent.name]
    assert len(list((folder / "set_aside").iterdir())) >= 3


def test_killed_and_interrupted_it_goes_on_and_ends_with_the_same_bits(tmp_path):
    typed = ("model=mlp", "model.hidden=[32]", "reg=l2_dropout", "seed=0,1", "logger=csv", "trainer=cpu")
    typed += ("trainer.max_epochs=30", "trainer.threads=1")  # a sum over two threads has other last bits
    folder = tmp_path / "sweep"
    statuses = []
    for number in (signal.SIGKILL, signal.SIGINT):
        process = start_sweep(folder, *typed)
        known = len(list(folder.glob("*/checkpoints/last.ckpt")))
        rows = sum(path.read_text().count("\n") for path in folder.glob("*/metrics.csv"))
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and process.poll() is None:
            now = sum(path.read_text().count("\n") for path in folder.glob("*/metrics.csv"))
            if now > rows + 3 and len(list(folder.glob("*/checkpoints/last.ckpt"))) >= max(1, known):
                break
            time.sleep(0.02)
        process.send_signal(number)
        out, _ = process.communicate(timeout=90)
        statuses.append(process.returncode)
        deadline = time.monotonic() + 5
        while processes_in(folder) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not processes_in(folder), "a point outlived its sweep"
    assert statuses == [-9, 130], out
    assert "stopped by Ctrl-C; the same command goes on" in out
    last = sweep(folder, *typed)
    assert last.returncode == 0, last.stdout
    assert "interrupted before, to be resumed" in last.stdout
    alone = command(UNDRAWN, f"hydra.run.dir={tmp_path / 'one'}", *[o.replace("0,1", "1") for o in typed])
    assert alone.returncode == 0
    ours, theirs = (
        torch.load(path / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for path in (next(folder.glob("seed-1_*")), tmp_path / "one")
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_point_that_is_named_twice_runs_once(tmp_path):
    done = sweep(tmp_path, "seed=0,0", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 points are finished" in done.stdout


@pytest.mark.parametrize("after", [0.0, 1.0])
def test_stopped_while_the_points_are_being_made_it_ends_at_once(tmp_path, after):
    process = start_sweep(tmp_path, "seed=0,1", "logger=csv", "trainer=cpu", "trainer.max_epochs=500")
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("*/log.txt"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(after)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "SIGKILL" not in out, f"after {time.monotonic() - asked:.0f} s"


@pytest.mark.parametrize("ignored", [False, True], ids=["closed", "closed under nohup"])
def test_a_closed_terminal_ends_a_sweep_as_sigterm_does(tmp_path, ignored):
    """The terminal's processes all hear of it, the parent of the points among them."""
    typed = ("model=mlp", "seed=0,1", "logger=csv", "trainer=cpu", "trainer.threads=1")
    typed += ("trainer.max_epochs=4",) if ignored else ("trainer.max_epochs=500",)
    process = subprocess.Popen(
        [sys.executable, "train.py", "-m", f"hydra.sweep.dir={tmp_path}", *typed],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=(lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) if ignored else None,
    )
    deadline = time.monotonic() + 90
    while not list(tmp_path.glob("*/metrics.csv")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGHUP)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == (0 if ignored else 75), out
    assert ("2 of 2 points are finished" if ignored else "stopped by SIGHUP; the same command goes on") in out
    for file in tmp_path.glob("*/metrics.csv"):
        ended = json.loads((file.parent / "status.json").read_text())
        assert ended["state"] == ("finished" if ignored else "interrupted")
        assert ignored or "stopped by SIGTERM" in ended["error"], "it was asked, and has saved"
    assert not processes_in(tmp_path)


def test_two_sweeps_do_not_share_a_directory(tmp_path):
    from filelock import FileLock

    with FileLock(tmp_path / ".lock"):
        done = sweep(tmp_path, "seed=0,1", *QUICK)
    assert done.returncode == 75
    assert "running already" in done.stderr


def test_ddp_inside_a_sweep(tmp_path):
    """A directory, a log and a W&B run for each point; the processes are gone when it ends."""
    done = sweep(
        tmp_path, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "reg.l2=0,1e-3", "trainer.max_epochs=1"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = points(tmp_path)
    assert len(found) == 2
    for path in found.values():
        assert "CPU, 2 processes" in (path / "log.txt").read_text()
        assert (path / "log.txt").read_text().count("one view") == 1, "rank 0 speaks"
        (record,) = path.glob("wandb/offline-run-*")
        assert record.name.endswith((path / "wandb/id").read_text())
    assert not processes_in(tmp_path)


def test_optuna_gets_the_values(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    done = sweep(
        tmp_path,
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=3",
        "hydra.sweeper.n_jobs=3",
        "hydra.sweeper.direction=minimize",
        "hydra.sweeper.sampler.seed=0",
        "optim.lr=tag(log, interval(0.001, 1.0))",
        *QUICK,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    best = min(json.loads(path.read_text())["best/val/top1_error"] for path in tmp_path.glob("*/results.json"))
    assert f"Best value: {best}" in done.stdout


def test_slurms_jobs_on_this_machine_are_requeued_after_a_signal(tmp_path):
    pytest.importorskip("submitit")
    typed = ("hydra/launcher=slurm", "hydra.launcher.cluster=local", "model=mlp", "logger=csv", "trainer=cpu")
    process = start_sweep(tmp_path, *typed, "trainer.max_epochs=40", "seed=0")
    deadline = time.monotonic() + 90
    while not list(tmp_path.glob("*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    for listed in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            if f"submitit.core._submit\0{tmp_path}" in listed.read_text():
                os.kill(int(listed.parent.name), signal.SIGUSR2)  # what SLURM sends when a job is preempted
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, out
    log = next(tmp_path.glob("*/log.txt")).read_text()
    assert "stopped by SIGUSR1" in log
    assert "going on from" in log
    assert "1 of 1 points are finished" in out
