"""Where a step's time goes: the parts add up, and asking changes no number."""

from __future__ import annotations

import csv
import json
import re

import pytest
import torch

from trainlab.runtime import profiling
from trainlab.runtime.profiling import NoProfiler, StepProfiler

DATA = "[_TrainingEpochLoop].train_dataloader_next"
TRANSFER, AUGMENTATION = "[Strategy]S.batch_to_device", "[LightningDataModule]ImageData.on_after_batch_transfer"
CALLBACK, END = "[Callback]ProgressBar.on_train_batch_end", "[LightningModule]Classifier.on_train_batch_end"


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [0.0]
    monkeypatch.setattr(profiling.time, "perf_counter", lambda: now[0])
    return now


def step(profiler, clock, steps_per_execution=1):
    """Seconds of a step: 1 of data, 2 of transfer around 4 of augmentation, 8 forward, 16 logging and 32 beside.

    Of several together: 8 forward in each, the rest once.
    """
    profiler.start(DATA)
    clock[0] += 1
    profiler.stop(DATA)
    clock[0] += 32
    with profiler.profile(TRANSFER):
        clock[0] += 1
        with profiler.profile(AUGMENTATION):
            clock[0] += 4
        clock[0] += 1
    for _ in range(steps_per_execution):
        with profiler.profile("forward"):
            clock[0] += 8
        with profiler.profile("optimizer"):
            pass
    with profiler.profile(CALLBACK):
        clock[0] += 16
    with profiler.profile(END):
        pass
    clock[0] += 1000  # a validation


@pytest.mark.parametrize("steps", [1, 3, 4, 7, 60, 400])
def test_the_parts_add_up_to_the_step(clock, steps):
    profiler = StepProfiler(steps)
    for _ in range(steps):
        step(profiler, clock)
    rows = {part: (milliseconds, share) for part, milliseconds, share in profiler.table()}
    seconds = {"data": 1, "transfer": 2, "augmentation": 4, "forward": 8, "logging": 16, "the rest": 32}
    expected = dict.fromkeys(["backward", "optimizer", "metrics"], 0) | seconds | {"the whole step": 63}
    assert {part: milliseconds for part, (milliseconds, _) in rows.items()} == {
        k: 1000 * s for k, s in expected.items()
    }
    assert sum(share for _, share in rows.values()) == pytest.approx(2)  # the parts, and the whole
    assert profiler.steps == min((steps + 1) // 2, 100)


def test_of_steps_given_out_together_each_counts(clock):
    profiler = StepProfiler(400)
    for _ in range(100):
        step(profiler, clock, steps_per_execution=4)
    rows = {part: milliseconds for part, milliseconds, _ in profiler.table()}
    assert profiler.steps == 100
    assert (rows["forward"], rows["data"], rows["the whole step"]) == (8000, 250, 8000 + 55000 / 4)


def test_a_run_that_ended_before_its_first_timed_step_has_an_empty_table(tmp_path):
    profiler = StepProfiler(100)
    profiler.write(tmp_path)
    assert profiler.table() == []
    assert (tmp_path / "table.csv").read_text() == "part,milliseconds,share\n"
    assert not (tmp_path / "trace.json").exists()


def test_nothing_is_timed_between_the_steps_and_after_the_last(clock):
    profiler = StepProfiler(4)
    assert profiler.profile("forward") is profiling.NOTHING
    for _ in range(4):
        step(profiler, clock)
    before = profiler.table()
    step(profiler, clock)
    assert profiler.table() == before
    assert NoProfiler().profile("forward") is profiling.NOTHING


@pytest.mark.run
def test_asking_for_a_profile_changes_no_number(train):
    options = ("model=mlp", "reg=dropout", "trainer=cpu", "logger=csv", "trainer.max_epochs=5")
    plain, asked = train(*options), train(*options, "profile=true")
    assert asked.status == 0, asked.err
    one, other = (torch.load(run.folder / "checkpoints/last.ckpt", weights_only=True) for run in (plain, asked))
    for name, weights in one["state_dict"].items():
        assert torch.equal(weights, other["state_dict"][name])
    rows = list(csv.DictReader((asked.folder / "profile/table.csv").open()))
    assert [row["part"] for row in rows[:3]] == ["data", "transfer", "augmentation"]
    assert sum(float(row["share"]) for row in rows[:-1]) == pytest.approx(1, abs=1e-3)
    for row in rows:
        assert float(row["milliseconds"]) > 0
        printed = re.search(rf"│ {row['part']} +│ +([\d.]+)", asked.out)
        assert float(printed[1]) == pytest.approx(float(row["milliseconds"]), abs=6e-4)
    events = json.loads((asked.folder / "profile/trace.json").read_text())["traceEvents"]
    for part in ("transfer", "augmentation", "forward", "backward", "optimizer", "metrics"):
        of_part = [e for e in events if e.get("name") == part and e.get("cat") == "user_annotation"]
        assert len(of_part) >= (profiling.TRACED if part in ("forward", "backward", "optimizer", "metrics") else 1)
    assert not (plain.folder / "profile").exists()
