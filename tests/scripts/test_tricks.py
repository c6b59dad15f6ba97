"""The switches of the tricks' benchmark: each really takes its trick away, and the run stays the same run."""

import json
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from benchmarks import interleaved, report
from benchmarks.tricks import measurement, whole_command, within_step
from benchmarks.tricks.catalogue import BLOCKS, COMMAND_TRICKS, NAMES, STEP_TRICKS, TEST_PARENT
from benchmarks.tricks.measurement import TIMED, Gain
from benchmarks.tricks.whole_command import LIBGOMP_SPINS

import trainlab
from trainlab import augment, metrics, optim
from trainlab.classifier import Classifier
from trainlab.errors import InputError
from trainlab.models import response_normalisation
from trainlab.recording.commit import REPOSITORY
from trainlab.runtime import hardware, process
from trainlab.runtime.profiling import NoProfiler

MLP = ["model=mlp", "data=digits", "data.train_examples=120", "data.batch_size=24"]
CROPPED = [*MLP, "aug=crop_flip"]
ALEXNET = ["model=alexnet", "data=digits", "aug=alexnet", "data.train_examples=40", "data.batch_size=20"]
SHORT = ["trainer.max_epochs=1", "logger=none"]
AWAY = {  # a small run, and what is called in it with the trick and never without
    "default_allocator": (MLP, process.keep_freed_memory),
    "torchs_response_norm": (ALEXNET, response_normalisation._Normalise.forward),
    "plain_float": (ALEXNET, augment._to_float),
    "stream_of_draws": (CROPPED, augment.uniform),
    "one_batch_at_a_time": (MLP, hardware.choose_steps_per_execution),
    "automatic_optimization": (MLP, optim.train_step),
    "lightnings_profiler": (MLP, NoProfiler.profile),
}
MORE = {  # … and what is called more often without it
    "each_batch_counted": (MLP, metrics.ClassificationMetrics.update),
    "one_batch_at_a_time": (MLP, Classifier.on_train_batch_start),
}
OTHER_DRAWS = {"stream_of_draws"}


def calls(overrides: list[str], folder: Path) -> tuple[Counter, float]:
    """How often each function's code ran in a run; and the run's last loss."""
    counted: Counter = Counter()

    def note(frame, event, argument):
        if event == "call":
            counted[frame.f_code] += 1

    sys.setprofile(note)
    try:
        results = trainlab.run([*overrides, *SHORT], run_dir=folder)
    finally:
        sys.setprofile(None)
    return counted, results["last/train/loss"]


def test_every_trick_has_a_switch_and_every_switch_a_test():
    assert [trick.name for trick in STEP_TRICKS] == list(within_step.SWITCHES)
    assert ["as_it_is", *(trick.name for trick in COMMAND_TRICKS)] == list(whole_command.SWITCHES)
    assert {*AWAY, *MORE} == set(within_step.SWITCHES)
    assert {*CHANGED} == set(whole_command.SWITCHES) - {"as_it_is"}
    for trick in STEP_TRICKS:
        assert all(work in TIMED and work in BLOCKS for work in trick.works)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """`calls` of a run with all its tricks, which several of the switches are held against."""

    @cache
    def run(overrides: tuple[str, ...]) -> tuple[Counter, float]:
        return calls([*overrides], tmp_path_factory.mktemp("whole") / "run")

    return run


@pytest.mark.run
@pytest.mark.parametrize("name", within_step.SWITCHES)
def test_a_switch_takes_its_trick_out_of_the_step(name, whole, tmp_path, monkeypatch, undrawn):
    overrides, gone = AWAY.get(name, (MLP, None))
    _, more = MORE.get(name, (MLP, None))
    gone = gone and gone.__code__  # as it is before the switch
    with_it, loss = whole(tuple(overrides))
    monkeypatch.setattr(within_step, "swap", monkeypatch.setattr)  # which puts all back in the end
    within_step.SWITCHES[name]()
    without, its_loss = calls(overrides, tmp_path / "without")
    if gone is not None:
        assert with_it[gone] > 0
        assert without[gone] == 0
    if more is not None:
        assert without[more.__code__] > with_it[more.__code__] > 0
    if name not in OTHER_DRAWS:
        assert its_loss == pytest.approx(loss, rel=0.01)


def test_a_switch_of_what_was_renamed_fails():
    for module in (within_step, whole_command):
        with pytest.raises(AttributeError):
            module.swap(optim, "what_was_renamed", None)


PROBE = """
import atexit, gc, json, os, runpy, sys
from multiprocessing import forkserver

TOLD = int(sys.argv.pop(1))

class Freed:
    def __del__(self, write=os.write, told=TOLD):
        write(told, b"freed")

sys.kept_to_the_end = Freed()

@atexit.register
def tell():
    packed = sys.modules.get("trainlab.data.packed.format")
    facts = {
        "frozen": gc.get_freeze_count() > 0,
        "mapped": getattr(packed, "MAPPED", None),
        "preloaded": forkserver._forkserver._preload_modules,
        **{name: name in sys.modules for name in ("torchmetrics.text", "torch._dynamo", "wandb.sdk.launch")},
    }
    os.write(TOLD, json.dumps(facts).encode())

runpy.run_module("benchmarks.tricks.whole_command", run_name="__main__", alter_sys=True)
"""
ONE_RUN = ["model=perceptron", "data=digits", "optim=sgd", "logger=wandb", "logger.mode=offline"]
SWEEP = ["-m", "model=perceptron", "data=digits", "logger=none", "seed=1,2"]
CHANGED = {  # of each switch: the fact that it changes, and no other switch does; with the trick and without
    "collected_imports": ("frozen", True, False),
    "slow_exit": ("freed", False, True),
    "whole_lightning": ("torchmetrics.text", False, True),
    "whole_wandb": ("wandb.sdk.launch", False, True),
    "torchs_wrapper": ("torch._dynamo", False, True),
    "long_spin": ("spins", "10000", LIBGOMP_SPINS),
    "mapped_pages_kept": ("mapped", 2**27, 2**62),
    "cold_points": ("preloaded", ["trainlab.sweeps.child"], []),
}


def facts(switches: list[str], words: list[str], folder: Path) -> dict:
    """What was true at the end of a command in a new interpreter."""
    paths = os.pathsep.join([str(REPOSITORY / "scripts"), str(REPOSITORY / "src"), str(REPOSITORY)])
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "WANDB_"))}
    environment |= {"PYTHONPATH": paths, "OMP_DISPLAY_ENV": "VERBOSE", "NETRC": os.devnull}
    folders = [f"hydra.run.dir={folder}/run", f"hydra.sweep.dir={folder}/sweep"]
    told, theirs = os.pipe()
    with os.fdopen(told) as reports:
        done = subprocess.run(
            [sys.executable, "-c", PROBE, str(theirs), ",".join(switches), *words, "trainer.max_epochs=1", *folders],
            pass_fds=[theirs],
            env=environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
        os.close(theirs)
        assert done.returncode == 0, done.stderr
        found, freed, _ = reports.read().partition("freed")
    spins = [line.split("'")[1] for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    return {**json.loads(found), "freed": bool(freed), "spins": spins[0] if spins else None}


@pytest.mark.process
@pytest.mark.parametrize("words", [ONE_RUN, SWEEP], ids=["run", "sweep"])
def test_a_switch_takes_its_trick_out_of_the_command(words, tmp_path):
    """All that act on a command of this kind at once, since each has a fact of its own and a start takes seconds."""
    switches = [name for name in CHANGED if (name == "cold_points") == (words is SWEEP)]
    with_them, without = facts(["as_it_is"], words, tmp_path / "with"), facts(switches, words, tmp_path / "without")
    for fact, having, lacking in (CHANGED[name] for name in switches):
        assert (with_them[fact], without[fact]) == (having, lacking), fact


def test_above_one_a_trick_buys_something():
    assert Gain("it", "a trick", "work", "seconds", having=[1.0, 2.0], lacking=[3.0, 3.0]).ratios == [3.0, 1.5]


@pytest.mark.process
def test_cpu_time_of_children_is_what_they_say_of_themselves():
    before = measurement.cpu_of_children()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"], check=True)
    assert measurement.cpu_of_children() - before >= 0.5


@pytest.mark.process
def test_one_command_measures_the_tricks_that_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(BLOCKS, "perceptron", ((2, 2), (2, 2)))
    monkeypatch.setattr(measurement, "TEST_ROUNDS", (1, 1))
    monkeypatch.setattr(measurement, "TEST_COMMAND", ("train.py", "--help"))
    monkeypatch.setattr(interleaved, "IMPORTS", ["trainlab.training"])
    report.benchmark(["--quick", "--tricks", "lightnings_profiler", TEST_PARENT, "--out", str(tmp_path)])
    found = json.loads((tmp_path / "benchmark.json").read_text())["tricks"]
    assert [gain["trick"] for gain in found] == ["lightnings_profiler"] * 2 + [TEST_PARENT] * 2
    assert all(value > 0 for gain in found for value in (*gain["having"], *gain["lacking"]))
    assert "a profiler that does nothing" in capsys.readouterr().out


def test_a_trick_that_there_is_not_is_said_in_a_sentence(tmp_path):
    assert "each_batch_counted" in NAMES
    with pytest.raises(InputError, match="invalid choice: 'magic'"):
        report.benchmark(["--tricks", "magic", "--out", str(tmp_path)])
