"""The benchmark: what it says of figures that are known, and that every side does the steps it is told to."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from timeit import timeit

import pytest
import torch
from benchmarks import report
from benchmarks.growth import grow, write_sparse_set
from benchmarks.interleaved import Timed, ratios, time_interleaved
from benchmarks.measure import Measure, in_turn
from benchmarks.pace import Enough, Pace
from benchmarks.report import benchmark
from benchmarks.workloads import WORKLOADS

from trainlab.data.packed import format as packed
from trainlab.data.packed.format import PackedImages, read_packed
from trainlab.errors import InputError, RunError

MLP = next(work for work in WORKLOADS if work.name == "mlp")
SMALL = ["model=mlp", "data=digits", "data.batch_size=32"]


@pytest.mark.parametrize(
    ("sign", "bound", "reached"), [("≥", 2.0, True), ("≥", 2.1, False), ("≤", 2.0, True), ("≤", 1.9, False)]
)
def test_the_median_decides_whether_a_bound_is_reached(sign, bound, reached):
    assert Measure("it", [1.0, 2.0, 9.0], "s", (sign, bound)).reached is reached


def test_ratios_are_taken_round_by_round():
    assert ratios(Timed("a", rates=[10.0, 30.0]), Timed("b", rates=[5.0, 10.0])) == [2.0, 3.0]


def test_calls_take_turns_and_the_first_round_does_not_count():
    said = []
    seconds = in_turn([lambda: said.append("a"), lambda: said.append("b")], rounds=2)
    assert said == ["a", "b"] * 3
    assert [len(taken) for taken in seconds] == [2, 2]


class Teller:
    """A connection that asks for blocks of so many steps and keeps what it is told."""

    def __init__(self, *steps):
        self.asked, self.told = [*steps, None], []

    def send(self, what):
        self.told.append(what)

    def recv(self):
        return self.asked.pop(0)


@pytest.mark.parametrize(
    ("at_once", "timed"),
    [(1, 8), (4, 8), (3, 9), (16, 16)],  # of ten the first fifth is not timed; several at once end where they end
)
def test_the_clock_starts_after_the_lead_in(monkeypatch, at_once, timed):
    clock = iter(range(1000))
    monkeypatch.setattr("benchmarks.pace.time.perf_counter", lambda: next(clock))
    teller = Teller(10)
    pace = Pace(teller)
    pace.wait()
    with contextlib.suppress(Enough):
        while True:
            pace.step(images=7 * at_once, steps=at_once)
    (block,) = (told for told in teller.told if told != "ready")
    assert (block.steps, block.images) == (timed, 7 * timed)
    assert block.seconds == 1  # from the end of the lead-in to the end of the block


@pytest.mark.run
def test_every_side_of_the_mlp_trains_in_blocks(tmp_path):
    told = []
    timed = time_interleaved(MLP, SMALL, steps=3, rounds=2, folder=tmp_path, on_progress=told.append, cold=False)
    assert [side.side for side in timed] == list(MLP.sides)
    for side in timed:
        assert len(side.rates) == len(side.step_ms) == 2
        for rate, milliseconds in zip(side.rates, side.step_ms, strict=True):
            # 3 steps of at most 32 images each, the last batch of an epoch being smaller
            assert 0 < rate * milliseconds / 1000 <= 32.001
        assert side.memory_mb > 50
    assert len(told) == len(MLP.sides) * 3


@pytest.mark.run
def test_a_side_that_fails_is_named_with_its_output(tmp_path):
    with pytest.raises(RunError, match=r"side limit ended early; .*output\.txt says why"):
        time_interleaved(
            replace(MLP, sides=("limit",)),
            ["model=nothing"],
            steps=1,
            rounds=1,
            folder=tmp_path,
            on_progress=print,
            cold=False,
        )
    assert "nothing" in (tmp_path / "mlp" / "limit" / "output.txt").read_text()


def test_a_sparse_set_is_a_packed_set(tmp_path):
    write_sparse_set(tmp_path / "set", 1000)
    assert PackedImages(read_packed(tmp_path / "set"), "train").shape == (1000, 3, 128, 128)


@pytest.mark.run
def test_memory_does_not_grow_with_what_was_read(tmp_path, monkeypatch):
    """400 MB of pictures go by, and a fifth of it at most is this process's at any time."""
    write_sparse_set(tmp_path / "set", 8000)
    monkeypatch.setattr(packed, "MAPPED", 2**25)
    images = PackedImages(read_packed(tmp_path / "set"), "train")

    def mapped() -> int:
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile"))
        return 1024 * int(line.split()[1])

    before = mapped()
    for ids in torch.arange(8000).split(200):
        assert not images[ids].any()
        assert mapped() - before < 80_000_000


@pytest.mark.process
def test_growth_is_read_from_the_results_of_a_command():
    (point,) = grow(lambda _: None, counts=(400,))
    assert point.images == 400
    assert point.memory_mb > 100
    assert point.epoch > 0
    assert point.rest > 0


@pytest.mark.run
def test_start_up_is_written_as_json(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report, "ROUNDS", (1, 1))
    monkeypatch.setattr("benchmarks.start_up.in_turn", lambda calls, rounds: [[timeit(c, number=1)] for c in calls])
    benchmark(["--quick", "--only", "start-up", "--out", str(tmp_path)])
    found = {m["what"]: m for m in json.loads((tmp_path / "benchmark.json").read_text())["measures"]}
    assert all(value > 0 for m in found.values() for value in m["values"])
    assert "torch is imported" not in capsys.readouterr().out
    assert len(found["python train.py --help"]["values"]) == 1


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="choose another folder with --out"):
        benchmark(["--only", "start-up", "--out", str(tmp_path / "file" / "out")])
    with pytest.raises(InputError, match="choose another folder with --pictures"):
        benchmark(["--only", "loading", "--out", str(tmp_path), "--pictures", str(tmp_path / "file" / "pictures")])
    with pytest.raises(InputError, match="invalid choice: 'speed'"):
        benchmark(["--only", "speed"])
