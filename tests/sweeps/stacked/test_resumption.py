"""A stack that is killed or asked to stop: the same command goes on and ends with the same bits."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from whole_runs import UNDRAWN, Run, command, processes_in, start_command

from trainlab.sweeps.stacked import stack_checkpoint
from trainlab.sweeps.stacked.member import MemberState, Rows, Snapshot

pytestmark = pytest.mark.process

IMPATIENT = "tests/impatient.py"
WORDS = (
    "model=mlp",
    "model.hidden=[32]",
    "reg=l2_dropout",
    "reg.l2=0,1e-3",
    "seed=range(0,4)",
    "logger=csv",
    "trainer=cpu",
)
WORDS += ("optim.schedule=plateau", "optim.plateau_patience=1", "trainer.max_epochs=150", "data.batch_size=16")


def words(folder: Path, *more: str) -> tuple[str, ...]:
    return "-m", "hydra/launcher=stacked", f"hydra.sweep.dir={folder}", *WORDS, *more


def bits(folder: Path) -> dict[str, dict]:
    """All that a sweep has come to but for what the clock says."""
    found = {}
    for point in folder.glob("*/results.json"):
        run = Run(0, "", "", point.parent)
        saved = [torch.load(run.folder / f"checkpoints/{name}.ckpt", weights_only=True) for name in ("last", "best")]
        weights = [{name: w.numpy().tobytes() for name, w in one["state_dict"].items()} for one in saved]
        test = {name: value for name, value in run.results.items() if name.startswith(("test/", "best/"))}
        found[point.parent.name] = {"rows": run.numbers, "weights": weights, "test": test}
    return found


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    done = command(UNDRAWN, *words(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 points, in 1 stack" in done.stdout
    return bits(folder)


def stopped_by(number: int, folder: Path, *more: str) -> tuple[int, str]:
    """Start it, send the signal once it has saved something new, and wait for its end."""
    before = {path: path.stat().st_mtime_ns for path in folder.glob("stacks/*.ckpt")}
    process = start_command(IMPATIENT, *words(folder, *more), stderr=None)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        now = {path: path.stat().st_mtime_ns for path in folder.glob("stacks/*.ckpt")}
        if now and now != before:
            break
        time.sleep(0.005)
    process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    deadline = time.monotonic() + 5
    while processes_in(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_in(folder), "a stack outlived its sweep"
    return process.returncode, out


def test_killed_and_interrupted_it_goes_on_and_ends_with_the_same_bits(unbroken, tmp_path):
    statuses = []
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        status, out = stopped_by(number, tmp_path)
        statuses.append(status)
    assert statuses == [-9, 75, 130], out
    assert "stopped by Ctrl-C; the same command goes on" in out
    saved = torch.load(next(tmp_path.glob("stacks/*.ckpt")), weights_only=True)
    assert 0 < len(saved["cohorts"][0][0]["rows"]["values"]) < 150, "it has been interrupted"
    last = command(UNDRAWN, *words(tmp_path))
    assert last.returncode == 0, last.stdout + last.stderr
    assert "8 interrupted before, to be resumed" in last.stdout
    assert bits(tmp_path) == unbroken
    assert not (tmp_path / "stacks").exists()


def test_more_points_may_be_added_to_a_stack_that_was_interrupted(unbroken, tmp_path):
    more = ("seed=range(0,5)",)  # a later word wins
    status, out = stopped_by(signal.SIGINT, tmp_path)
    assert status == 130, out
    last = command(UNDRAWN, *words(tmp_path, *more))
    assert last.returncode == 0, last.stdout + last.stderr
    assert "10 points, in 1 stack · 8 interrupted before, to be resumed" in last.stdout
    found = bits(tmp_path)
    assert len(found) == 10
    assert {name: found[name] for name in unbroken} == unbroken


def test_killed_while_it_leaves_its_points_it_leaves_the_rest(unbroken, tmp_path):
    done = command(UNDRAWN, *words(tmp_path))
    assert done.returncode == 0, done.stderr
    lost = sorted(tmp_path.glob("*/results.json"))[:3]
    record = {path.parent.name: "" for path in lost}
    for path in lost:  # as it is between the last file but one and results.json
        path.unlink()
        (path.parent / "status.json").unlink()
        point = json.loads((path.parent / "point.json").read_text())
        from trainlab.sweeps.stacked.grouping import fingerprint

        record[path.parent.name] = fingerprint(point["config"])
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/0123456789ab.json").write_text(json.dumps({"points": record, "threads": 2}))
    again = command(UNDRAWN, *words(tmp_path))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "by themselves" not in again.stdout, "they are the stack's, though they have checkpoints"
    assert bits(tmp_path) == unbroken


def test_what_a_changed_configuration_has_saved_is_not_gone_on_with(tmp_path):
    stopped_by(signal.SIGINT, tmp_path)
    more = ("optim.lr=0.1", "trainer.max_epochs=2")
    done = command(UNDRAWN, *words(tmp_path, *more))
    assert done.returncode == 0, done.stdout
    assert "to be resumed" not in done.stdout
    assert {len(point["rows"]) for point in bits(tmp_path).values()} == {2}


def test_a_damaged_file_is_passed_over(tmp_path):
    weights = {"w": torch.ones(2)}
    snapshot = Snapshot(1, 3, weights, None, 0.1, None, 0, float("inf"))
    state = MemberState("a", snapshot, Rows(["epoch"], torch.ones(1, 1)))
    stack_checkpoint.save(tmp_path / "one.ckpt", [[state]], {"a": "print"})
    (found,) = stack_checkpoint.load([tmp_path / "one.ckpt"], {"a": "print"}).values()
    assert torch.equal(found.state.last.weights["w"], weights["w"])
    assert stack_checkpoint.load([tmp_path / "one.ckpt"], {"a": "another"}) == {}
    whole = (tmp_path / "one.ckpt").read_bytes()
    for damaged in (b"", whole[:100], whole[: len(whole) // 2]):
        (tmp_path / "two.ckpt").write_bytes(damaged)
        assert stack_checkpoint.load([tmp_path / "two.ckpt"], {"a": "print"}) == {}
