"""scripts/claims.py: evidence as data, checked anew by its command, and the tables that come from it."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import signal
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest
import yaml
from scipy.stats import t, ttest_ind

from trainlab.command.claims import check as checking
from trainlab.command.claims import front, pages, same, update
from trainlab.command.claims.check import Found, check, compare, sample_of
from trainlab.command.claims.table import cells, in_order, told
from trainlab.command.claims.welch import Sample, interval
from trainlab.command.main import compose_run
from trainlab.configuration.evidence import CONF, Figure, claims, read_evidence
from trainlab.errors import InputError, RunError, StoppedError

ERROR = "test/top1_error"
EXPERIMENTS = sorted(file.stem for file in (CONF / "experiment").glob("*.yaml"))
MADE_UP = """# A made-up claim.
claim: water is wet
source: everybody
command: python train.py -m seed=0,1
cost: {seconds: 5, runs: 2}
agreement: agrees
conditions: {date: 2026-11-27, commit: null, machine: an abacus, precision: float32}
measured:
  test/top1_error: {mean: 0.1, deviation: 0.01, n: 2, what: error}
published:
  test/top1_error: {text: 9 %, source: a book}
"""


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """made_up(text): the evidence in a file of this text. Checks are made below tmp_path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checking, "commit", lambda repository: "abc")
    (tmp_path / "conf" / "evidence").mkdir(parents=True)

    def read(text: str = MADE_UP, **changed):
        (tmp_path / "conf" / "evidence" / "mine.yaml").write_text(text, encoding="utf-8")
        read_evidence.cache_clear()
        return replace(read_evidence("mine", tmp_path / "conf"), **changed)

    yield read
    read_evidence.cache_clear()


def runner(monkeypatch, samples, status=0):
    """What runs no command and finds these samples; the commands that it was given are in its list."""
    commands = []

    def run(words):
        commands.append(list(words))
        folder = Path(next(word for word in words if "dir=" in word).partition("=")[2])
        folder.mkdir(parents=True, exist_ok=True)
        return status

    monkeypatch.setattr(checking, "found_in", lambda evidence, folder: Found(samples, precision="float32"))
    run.commands = commands
    return run


def test_the_interval_is_welchs():
    draw = random.Random(0)
    for n, m in ((2, 2), (5, 3), (3, 30)):
        one, other = ([draw.gauss(0, s) for _ in range(k)] for k, s in ((n, 1), (m, 3)))
        theirs = ttest_ind(other, one, equal_var=False).confidence_interval(0.95)
        assert interval(sample_of(one), sample_of(other)) == pytest.approx((theirs.low, theirs.high))
    low, high = interval(Sample(2.0, 0.5, 5), Sample(2.5, None, 1))  # where one more run would lie
    assert (low, high) == pytest.approx((0.5 - (half := t.ppf(0.975, 4) * 0.5 * math.sqrt(6 / 5)), 0.5 + half))
    assert interval(Sample(1.0, 0.0, 5), Sample(1.5, 0.0, 3)) == (0.5, 0.5)
    assert interval(Sample(1.0, None, 1), Sample(1.5, None, 1)) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("stated", "now", "word"),
    [
        (Figure(mean=0.10, deviation=0.01, n=5), Sample(0.105, 0.01, 5), "holds"),
        (Figure(mean=0.10, deviation=0.01, n=5), Sample(0.13, 0.01, 5), "differs"),
        (Figure(mean=0.125, deviation=0.0, n=5), Sample(0.125, 0.0, 5), "holds"),
        (Figure(mean=0.125, deviation=0.0, n=5), Sample(0.126, 0.0, 5), "differs"),
        (Figure(mean=152.0, within=2.0), Sample(154.0, None, 1), "holds"),
        (Figure(mean=152.0, within=2.0), Sample(155.0, None, 1), "differs"),
        (Figure(mean=5e-7, at_most=1e-6), Sample(1e-9, None, 1), "holds"),
        (Figure(mean=5e-7, at_most=1e-6), Sample(2e-6, None, 1), "differs"),
        (Figure(mean=1.0, within=1.0), Sample(math.nan, None, 0), "differs"),
        (Figure(mean=1.0, within=1.0), None, "differs"),
    ],
)
def test_a_figure_holds_or_differs(stated, now, word):
    assert compare(ERROR, stated, now).word == word
    assert compare("last/training_seconds", stated, Sample(9.0, None, 1)).word == "not compared"


def test_a_check_runs_the_command_in_a_folder_of_its_own_and_goes_on_with_one_that_was_stopped(made_up, monkeypatch):
    evidence = made_up()
    run = runner(monkeypatch, {ERROR: Sample(0.11, 0.01, 2)}, status=75)
    with pytest.raises(RunError, match="status 75"):
        check(evidence, run=run)
    run = runner(monkeypatch, {ERROR: Sample(0.11, 0.01, 2)})
    verdict = check(evidence, run=run)
    (stopped,) = Path("runs/claims/mine").iterdir()
    assert verdict.word == told(verdict) == "holds"
    assert verdict.folder == str(stopped)
    command = run.commands[0]
    assert command[1].endswith("train.py")
    assert command[2:] == ["-m", "seed=0,1", "figures=false", "logger=csv", f"hydra.sweep.dir={stopped.absolute()}"]
    assert checking.last_check("mine") == verdict
    assert check(evidence, run=runner(monkeypatch, {ERROR: Sample(0.2, 0.01, 2)})).word == "differs"
    assert len(list(Path("runs/claims/mine").iterdir())) == 2, "a check that has ended is not gone on with"


def test_what_is_not_here_is_said(made_up, monkeypatch):
    monkeypatch.delenv("TRAINLAB_CIFAR10", raising=False)
    monkeypatch.setattr(checking, "ROOT", Path("nowhere"))
    assert "costs 5 s, 2 runs, more than --most 2" in check(made_up(), most=2).reason
    assert "needs CIFAR-10" in check(made_up(needs=("cifar10",))).reason
    assert "needs ImageNet" in check(made_up(needs=("imagenet",))).reason
    assert check(made_up(measured={})).word == "not run here"
    run = runner(monkeypatch, {ERROR: Sample(0.1, 0.01, 2)})
    assert check(made_up(needs=("cifar10",)), words=["data.root=/x"], run=run).word == "holds"
    assert "data.root=/x" in run.commands[0]


def test_a_study_beyond_the_bound_of_what_it_is_checked_against_differs(tmp_path):
    evidence = read_evidence("gradient_descent")
    stated = {metric: figure.mean for metric, figure in evidence.measured.items()}
    results = stated | {"oracle/closed_form": 1e-10, "oracle/closed_form/bound": 1e-6}
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert checking.found_in(evidence, tmp_path).wrong == ""
    (tmp_path / "results.json").write_text(json.dumps(results | {"oracle/closed_form": 1e-3}))
    assert checking.found_in(evidence, tmp_path).wrong == "oracle/closed_form beyond its bound"


def test_the_command_says_what_it_was_asked_and_what_differs(monkeypatch):
    with pytest.raises(InputError, match=r"no claim l2_swep; did you mean l2_sweep or .* lists all") as unknown:
        front.parse(["--check", "l2_swep"])
    assert unknown.value.status == 2
    with pytest.raises(InputError, match="name them"):
        front.parse(["--update"])
    with pytest.raises(InputError, match="leave the rest out"):
        front.parse(["--same", "--check"])
    asked = front.parse(["--check", "relu_vs_tanh", "data.root=/x", "--most", "9"])
    assert (asked.names, asked.words, asked.most) == (["relu_vs_tanh"], ["data.root=/x"], 9)
    one = compare(ERROR, Figure(mean=0.1, within=0.0), Sample(0.2, None, 1))
    verdict = checking.Verdict(name="l2_sweep", word="differs", figures=[one])
    assert told(verdict) == "differs in 1 of 1 figures"
    monkeypatch.setattr(front, "check", lambda evidence, **options: verdict)
    with pytest.raises(RunError, match=r"not as stated: l2_sweep\.") as error:
        front.claims(["--check", "l2_sweep"])
    assert error.value.status == 1


@pytest.mark.process
def test_a_check_that_is_stopped_stops_its_command(tmp_path):
    Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    ends = tmp_path / "ended"
    ending = "(pathlib.Path(sys.argv[1]).touch(), sys.exit())"
    waits = f"import pathlib, signal, sys, time; signal.signal(15, lambda *_: {ending})"
    with pytest.raises(StoppedError, match="the same command goes on with it"):
        checking.run_command([sys.executable, "-c", f"{waits}; time.sleep(60)", str(ends), f"run_dir={tmp_path}"])
    assert ends.exists()


@pytest.mark.parametrize(
    ("wrong", "right", "sentence"),
    [
        ("n: 2", "n: 0", r"conf/evidence/mine.yaml: measured.test/top1_error.n=0 cannot .* whole number of at least 1"),
        ("mean: 0.1,", "", r"measured.test/top1_error.mean is missing"),
        ("deviation: 0.01, ", "", r"needs within=… or at_most=…"),
        ("n: 2, ", "", r"one run has no deviation"),
        ("agrees", "agree", r"agreement=agree cannot be used: it should be 'agrees', 'partly'"),
        ("claim: water is wet\n", "", r"mine.yaml: claim is missing"),
        ("source: everybody", "sauce: everybody", r"source is missing|there is no option .*sauce"),
        ("command: python train.py -m seed=0,1\n", "", r"command is missing"),
        ("conditions: {", "remarks: {", r"remarks=.* cannot be used"),
        ("seconds: 5", "seconds: soon", r"cost.seconds=soon cannot be used"),
        ("measured:", "shows: [test/loss]\nmeasured:", r"shows names test/loss, which is not measured"),
        ("claim: water", "claim: [water", r"it is no YAML"),
    ],
)
def test_a_mistake_in_the_evidence_is_a_sentence(made_up, wrong, right, sentence):
    assert wrong in MADE_UP
    with pytest.raises(InputError, match=sentence):
        made_up(MADE_UP.replace(wrong, right, 1))


def test_new_figures_change_their_lines_and_nothing_else(made_up):
    figures = {ERROR: {"mean": 0.2, "deviation": 1e-05, "n": 3, "what": "error"}}
    text = update.with_figures(MADE_UP, {"date": "2026-11-28", "commit": "abc"}, figures, "mine.yaml")
    changed = [line for line in text.splitlines() if line not in MADE_UP.splitlines()]
    assert changed == [
        "conditions: {date: '2026-11-28', commit: abc}",
        "  test/top1_error: {mean: 0.2, deviation: 1.0e-05, n: 3, what: error}",
    ]
    with pytest.raises(InputError, match="test/loss is not on one line"):
        update.with_figures(MADE_UP, {}, {"test/loss": {}}, "mine.yaml")


@pytest.mark.parametrize("name", claims())
def test_every_claim_is_stated_whole(name):
    evidence = read_evidence(name)
    assert (evidence.agreement == "not run") == (not evidence.measured)
    assert all(cells(evidence, "; "))
    assert name in in_order()
    assert all(set(text) == {"en", "es"} for text in (evidence.claim, evidence.source, evidence.cost_text))


def test_every_experiment_has_evidence_and_no_run_knows_of_it():
    assert set(EXPERIMENTS) <= set(claims())
    for name in EXPERIMENTS:
        assert f"experiment={name}" in read_evidence(name).command
        assert "evidence" not in yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8"))
    cfg = compose_run(["experiment=l2_sweep"])
    assert "evidence" not in cfg
    assert "evidence" not in cfg.hydra.runtime.choices
    with pytest.raises(InputError, match="evidence"):
        compose_run(["evidence=l2_sweep"])


@pytest.mark.parametrize("name", [name for name in claims() if update.has_rows(name)])
def test_the_means_are_those_of_the_rows(name):
    with update.rows_file(name).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    evidence = read_evidence(name)
    for metric, figure in evidence.measured.items():
        (column,) = [column for column in rows[0] if "/" in column and update.is_of(metric, column)]
        told_apart = dict(word.split("=") for word in metric.removeprefix(column).strip("/").split(",") if word)
        values = [float(row[column]) for row in rows if told_apart.items() <= row.items()]
        assert len(values) == figure.n
        assert figure.mean == pytest.approx(statistics.fmean(values), rel=1e-5)
        if figure.n > 1:
            assert figure.deviation == pytest.approx(statistics.stdev(values), rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: page.name)
def test_the_tables_of_the_pages_are_those_of_the_evidence(page):
    text = page.read_text(encoding="utf-8")
    assert pages.filled(text) == text, "run `python scripts/claims.py --write`"


def test_a_place_in_a_table_is_a_figure(made_up):
    evidence = made_up()
    for place, text in {
        "{mine test/top1_error}": "10.00 ± 1.00 %",
        "{mine test/top1_error .1p}": "10.0 ± 1.0",
        "{mine test/top1_error .1%}": "10.0 ± 1.0 %",
        "{mine test/top1_error .3f mean}": "0.100",
        "{mine test/top1_error / test/top1_error .1f}": "1.0",
        "{mine test/top1_error n}, {mine date}": "2, 2026-11-27",
        "`{mine command}` {mine cost}": "`python train.py -m seed=0,1` 5 s, 2 runs",
    }.items():
        assert pages.put_in(place, "a table", lambda name: evidence) == text
    for place, sentence in {
        "{mine test/loss}": "no measured figure test/loss",
        "{mine test/top1_error .q}": r"cannot be read; write \{CLAIM",
    }.items():
        with pytest.raises(InputError, match=sentence):
            pages.put_in(place, "a table", lambda name: evidence)
    with pytest.raises(
        InputError, match=r"front.md: there is no claim perceptron; `python scripts/claims.py` lists all"
    ):
        pages.put_in("{perceptron x}", "front.md")
    with pytest.raises(InputError, match="there is no table fron"):
        pages.table("fron")


def test_a_curve_that_has_moved_is_told(tmp_path, monkeypatch, capsys):
    file = tmp_path / "same.csv"
    recorded = {"a": [2.0, 1.0], "b": [1.0]}
    file.write_text(same.text(recorded))
    assert same.read(file) == recorded
    monkeypatch.setattr(same, "FILE", file)
    monkeypatch.setattr(same, "curves", lambda: {"a": [2.0, 1.0 + 1e-7], "b": [1.0]})
    same.same()
    moved = [same.difference("a", [2.0, 1.0], now) for now in ([2.0, 1.0], [2.0, 1.001], [2.0], [2.0, math.nan])]
    assert [one.word for one in moved] == ["equal", "differs", "differs", "differs"]
    monkeypatch.setattr(same, "curves", lambda: {"a": [2.0, 1.1], "b": [1.0], "c": [1.0]})
    with pytest.raises(RunError, match=r"something else: a; c; .*--same --update"):
        same.same()
    file.write_text("run\nx\n")
    with pytest.raises(InputError, match="holds no curves"):
        same.same()


def test_the_four_runs_are_recorded():
    assert set(same.read(same.FILE)) == set(same.RUNS)
