"""The table of a sweep against numpy, and what it says of failed and missing points."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from whole_runs import command

from trainlab.errors import InputError
from trainlab.experiments.time_to_target import sentences, times_to_target
from trainlab.recording.point import Point
from trainlab.sweeps.point import Status
from trainlab.sweeps.table import (
    Group,
    Run,
    as_csv,
    cells,
    default_metrics,
    distinct,
    gather,
    group,
    ordered,
)

ERRORS = {("0", 0): 0.10, ("0", 1): 0.14, ("0.1", 0): 0.05, ("0.1", 1): None, ("1", 0): None, ("1", 1): None}


@pytest.fixture
def sweep(tmp_path):
    """Three strengths, two seeds; one point failed, one was never run, one was interrupted."""
    points = {}
    for (l2, seed), error in ERRORS.items():
        folder = tmp_path / f"reg.l2-{l2}_seed-{seed}"
        folder.mkdir()
        swept = points[folder.name] = {"reg.l2": float(l2), "seed": seed}
        Point("sweep", swept, [], {"reg": {"l2": float(l2)}, "seed": seed}, "abc").write(folder)
        if error is not None:
            row = {
                "test/top1_error": error,
                "best/val/top1_error": error / 2,
                "monitor": "val/top1_error",
                "seed": seed,
            }
            (folder / "results.json").write_text(json.dumps(row))
    Status("failed", "the loss became infinite").write(tmp_path / "reg.l2-0.1_seed-1")
    (tmp_path / "reg.l2-1_seed-1/checkpoints").mkdir()
    (tmp_path / "reg.l2-1_seed-1/checkpoints/last.ckpt").touch()
    points["reg.l2-9_seed-0"] = {"reg.l2": 9.0, "seed": 0}  # of which there is not even a directory
    (tmp_path / "sweep.json").write_text(json.dumps({"points": points}))
    return tmp_path


def test_means_and_deviations_are_numpys(sweep):
    groups = {g.choices["reg.l2"]: g for g in group(gather([sweep]))}
    values = [0.10, 0.14]
    assert groups[0.0].mean("test/top1_error") == pytest.approx(np.mean(values))
    assert groups[0.0].deviation("test/top1_error") == pytest.approx(np.std(values, ddof=1))
    assert math.isnan(groups[0.1].deviation("test/top1_error"))
    assert math.isnan(groups[1.0].mean("test/top1_error"))


def test_failed_interrupted_and_missing_points_are_shown(sweep):
    groups = group(gather([sweep]))
    head, rows = cells(groups, default_metrics(groups))
    assert head == ["reg.l2", "best/val/top1_error", "test/top1_error", "n", "not finished"]
    by_strength = {row[0]: row for row in rows}
    assert by_strength["0.0"][2:] == ["12.00 ± 2.83 %", "2", ""]
    assert by_strength["0.1"][2:] == ["5.00 %", "1", "1 failed"]
    assert by_strength["1.0"][2:] == ["–", "0", "1 missing, 1 interrupted"]
    assert by_strength["9.0"][-1] == "1 missing", "a point without a directory"


def test_the_csv_holds_the_same(sweep):
    groups = group(gather([sweep]))
    rows = list(csv.DictReader(io.StringIO(as_csv(groups, ["test/top1_error"]))))
    assert float(rows[0]["test/top1_error:mean"]) == pytest.approx(0.12)
    assert [row["failed"] for row in rows] == ["0", "1", "0", "0"]
    assert [row["missing"] for row in rows] == ["0", "0", "1", "1"]


def test_sorted_by_a_metric_those_without_it_come_last(sweep):
    groups = ordered(group(gather([sweep])), "test/top1_error")
    assert [g.choices["reg.l2"] for g in groups][:2] == [0.1, 0.0]
    assert [g.choices["reg.l2"] for g in ordered(groups, "reg.l2")][:3] == [0.0, 0.1, 1.0]


def test_no_runs_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="no runs"):
        gather([tmp_path])
    with pytest.raises(InputError, match="no folder"):
        gather([tmp_path / "nothing"])


def test_the_same_run_twice_counts_once():
    one, other, again = (
        Run(Path(name), "finished", "", {"seed": seed, "ckpt": name}, {}, {})
        for name, seed in (("a", 0), ("b", 1), ("c", 0))
    )
    kept, left_out = distinct([one, other, again])
    assert kept == [one, other]
    assert left_out == [again]


def test_a_number_is_the_same_with_and_without_a_point():
    runs = [Run(Path("a"), "finished", "", {}, {"reg.l2": l2, "seed": seed}, {}) for seed, l2 in enumerate((0, 0.0))]
    assert len(group(runs)) == 1


def test_a_damaged_list_of_points_is_a_sentence(sweep):
    (sweep / "sweep.json").write_text('{"points": ["a"')
    with pytest.raises(InputError, match=r"sweep.json is damaged"):
        gather([sweep])


def runs(activation: str, lr: float, epochs: list[int], reached: bool = True) -> list[Run]:
    return [
        Run(
            Path("."),
            "finished",
            "",
            {},
            {"model.activation": activation, "optim.lr": lr, "seed": seed},
            {
                "last/epoch": epoch,
                "last/training_seconds": 10.0 * epoch,
                "target": 0.25,
                "target_reached": reached,
                "monitor": "train/top1_error",
            },
        )
        for seed, epoch in enumerate(epochs)
    ]


def test_a_race_chooses_each_sides_learning_rate_by_itself():
    everything = [*runs("relu", 0.01, [9, 9]), *runs("relu", 0.1, [5, 7]), *runs("relu", 1.0, [2, 2], reached=False)]
    everything += [*runs("tanh", 0.01, [12, 12]), *runs("tanh", 0.1, [14, 20])]
    key, compared = times_to_target(group(everything))
    assert key == "model.activation"
    assert [(c.name, c.best.choices["optim.lr"]) for c in compared] == [("relu", 0.1), ("tanh", 0.01)]
    said = sentences(key, compared)
    assert "reaches 25 % training error after 6 ± 1.4 epochs" in said[0]
    assert "2.00 × the epochs and 2.00 × the seconds of relu" in said[1]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_any_numbers_against_numpy(values):
    found = Group({}, [Run(Path("."), "finished", "", {}, {}, {"x": value}) for value in values])
    assert found.mean("x") == pytest.approx(np.mean(values))
    assert found.deviation("x") == pytest.approx(np.std(values, ddof=1), abs=1e-9)


@pytest.mark.run
def test_the_script_prints_and_writes(sweep):
    done = command("scripts/report.py", str(sweep), "--table", cold=True)
    assert done.returncode == 0, done.stderr
    assert "12.00 ± 2.83 %" in done.stdout
    assert "failed: " in done.stdout
    assert "the loss became infinite" in done.stdout
    assert (sweep / "table.csv").read_text().startswith("reg.l2,")
    assert "| 0.0 |" in (sweep / "table.md").read_text()
    assert (sweep / "figures/error_against_reg_l2.png").exists()
    wrong = command("scripts/report.py", str(sweep), "--table", "--sort", "test/top1")
    assert wrong.returncode == 2
    assert "no run has a result called test/top1" in wrong.stderr
