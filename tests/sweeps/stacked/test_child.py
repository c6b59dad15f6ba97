"""The process of a stack, its work done within the test's own process."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch

from trainlab.errors import StoppedError
from trainlab.runtime.room import gigabytes
from trainlab.sweeps.stacked import child
from trainlab.sweeps.stacked.child import Worker
from trainlab.sweeps.stacked.grouping import fingerprint
from trainlab.sweeps.stacked.request import Message, PointTask, Request

pytestmark = pytest.mark.process

WORDS = ("model=mlp", "model.hidden=[4]", "data=moons", "data.batch_size=16", "trainer=cpu", "logger=csv")
WORDS += ("trainer.max_epochs=40",)


def test_its_import_leaves_the_signals_alone():
    """The import of `sweeps.child` blocks them, for the parent of all points; here it would be for all other tests."""
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


@pytest.fixture
def asked_for(composed, tmp_path):
    """asked_for("seed=0,1", …): the request for a stack of these points."""

    def make(*words: str, going_on: bool = False) -> Request:
        sweep, batch = composed(tmp_path / "sweep", *WORDS, *words)
        places, prints = [], {}
        for number, overrides in enumerate(batch):
            job, point = sweep.prepare(overrides, number)
            sweep.write_points({job.folder / "point.json": sweep.settle(job, point, 1)})
            places.append(PointTask(job.name, job.folder, number, job.composed.parted()))
            prints[job.name] = fingerprint(job.composed.plain)
        file = tmp_path / "one.ckpt"
        names = list(prints) if going_on else []
        return Request(places, 1, {}, tmp_path / "log.txt", file, [file] if going_on else [], names, prints)

    return make


def end_of(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {
        file.parent.parent.name: torch.load(file, weights_only=True)["state_dict"]
        for file in sorted(folder.glob("*/checkpoints/last.ckpt"))
    }


def same(ours: dict[str, dict[str, torch.Tensor]], theirs: dict[str, dict[str, torch.Tensor]]) -> bool:
    return ours.keys() == theirs.keys() and all(
        torch.equal(weights[name], theirs[point][name]) for point, weights in ours.items() for name in weights
    )


def test_more_than_there_is_memory_for_is_cut_and_said(asked_for, monkeypatch, tmp_path):
    request, told = asked_for("seed=range(0,7)"), []
    Worker(request, told.append, []).work()
    whole = end_of(tmp_path / "sweep")
    assert len(whole) == 7
    for results in (tmp_path / "sweep").glob("*/results.json"):
        assert json.loads(results.read_text())["stacked"] == 7
    worker = Worker(request, told.append, [])
    (member, *_) = worker.make()
    free = 3.5 * child.bytes_of(member) / child.MEMORY_SHARE
    monkeypatch.setattr(child, "free_memory", lambda: free)
    worker.work()
    (said,) = [one.text for one in told if one.text]
    assert said == f"7 points are trained 3 at a time, for {gigabytes(free)} of memory are free"
    found = [json.loads(file.read_text())["stacked"] for file in (tmp_path / "sweep").glob("*/results.json")]
    assert sorted(found) == [1, 3, 3, 3, 3, 3, 3]
    assert same(end_of(tmp_path / "sweep"), whole), "whoever else is in the stack"


@pytest.mark.parametrize("after", [1, 4])
def test_asked_to_stop_it_saves_and_goes_on_with_the_same_bits(asked_for, monkeypatch, tmp_path, after):
    monkeypatch.setattr("trainlab.sweeps.stacked.training.BETWEEN", 0.0)
    words = ("seed=range(0,3)", "reg.dropout=0,0.5", "optim.schedule=plateau", "trainer.patience=12")
    Worker(asked_for(*words), lambda told: None, []).work()
    unbroken = end_of(tmp_path / "sweep")
    asked: list[int] = []

    def stop(told: Message) -> None:
        if told.epoch == after:
            asked.append(15)

    with pytest.raises(StoppedError, match=f"stopped by SIGTERM after epoch {after + 1}"):
        Worker(asked_for(*words), stop, asked).work()
    Worker(asked_for(*words, going_on=True), lambda told: None, []).work()
    assert same(end_of(tmp_path / "sweep"), unbroken)


def test_what_it_tells_is_how_far_each_is_and_how_it_ended(asked_for, monkeypatch):
    monkeypatch.setattr("trainlab.sweeps.stacked.training.BETWEEN", 0.0)
    request, told = asked_for("seed=0,1", "loss=half_mse", "optim.lr=0.01,1e8"), []
    Worker(request, told.append, []).work()
    epochs = [one.epoch for one in told if not one.ended]
    assert epochs == sorted(epochs)
    assert epochs[-1] == 40
    ended = {name: status for one in told for name, status in one.ended.items()}
    states = sorted(("optim.lr-0.01_" in name, status.state) for name, status in ended.items())
    assert states == [(False, "failed"), (False, "failed"), (True, "finished"), (True, "finished")]
    errors = {name for one in told for name in one.errors}
    assert {name for name, status in ended.items() if status.state == "finished"} <= errors
