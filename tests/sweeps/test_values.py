"""Every kind of value can be swept: composed, named, written, read back, grouped and shown."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from whole_runs import UNDRAWN, command

from trainlab.errors import InputError
from trainlab.recording.point import load_point
from trainlab.sweeps.drawing import draw, label
from trainlab.sweeps.names import shown, typed
from trainlab.sweeps.point import FINISHED, NEW, alike, differences
from trainlab.sweeps.report import sections_of
from trainlab.sweeps.table import as_csv, as_markdown, cells, gather, group, ordered

pytestmark = pytest.mark.process

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
LETTERS = st.sampled_from(
    ["año", "λμ", "中文", "😀", "a b", "c,d", "/e/f", "it's", 'say "x"', "a=b:c$d", ".x", "-x", "\n"]
)
SCALARS = st.one_of(st.integers(-(2**40), 2**40), st.floats(), st.booleans(), st.none(), TEXT, LETTERS)
KEYS = st.from_regex(r"[a-z_]{1,5}", fullmatch=True).filter(
    lambda key: key not in ("null", "true", "false", "inf", "nan")
)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=6)


def written(value) -> str:
    """As it is typed."""
    if isinstance(value, str):
        return typed(value)
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{written(item)}" for key, item in value.items()) + "}"
    return "null" if value is None else str(value)


def results(error: float) -> str:
    return json.dumps({"best/val/top1_error": error, "monitor": "val/top1_error", "test/top1_error": error, "seed": 0})


@settings(max_examples=10, deadline=None)
@given(st.lists(VALUES, min_size=2, max_size=4, unique_by=alike))
def test_any_values_from_the_command_line_to_the_table_and_back(composed, values):
    with tempfile.TemporaryDirectory() as folder:
        sweep, batch = composed(Path(folder) / "sweep", f"+x={','.join(map(written, values))}", "seed=0")
        prepared = [sweep.prepare(overrides, number) for number, overrides in enumerate(batch)]
        assert [alike(job.swept["x"]) for job, _ in prepared] == [alike(value) for value in values]
        assert len({job.name.lower() for job, _ in prepared}) == len(values)
        for number, (job, point) in enumerate(prepared):
            sweep.write_points({job.folder / "point.json": sweep.settle(job, point, 1)})
            assert job.status.state == NEW
            assert differences(load_point(job.folder), point) == [], "it is the same when it comes back"
            (job.folder / "results.json").write_text(results(number / 10))
        for overrides in batch:
            job, point = sweep.prepare(overrides, 0)
            assert sweep.inspect(job.folder, point).state == FINISHED
        groups = ordered(group(gather([Path(folder)])), "x")
        assert {alike(g.choices["x"]) for g in groups} == {alike(value) for value in values}
        _, lines = cells(groups, ["best/val/top1_error"])
        assert {line[0] for line in lines} == {shown(value) for value in values}
        assert len(as_markdown(["x", "best", "n"], lines).splitlines()) == len(values) + 2
        assert len(list(csv.reader(io.StringIO(as_csv(groups, ["best/val/top1_error"]))))) == len(values) + 1
        assert len({label(g) for g in groups}) == len(values), "a line for each in the figures' legends"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["model=mlp", "model.hidden=[8],[8,8],[]"], [{"model.hidden": v} for v in ([8], [8, 8], [])]),
        (["model=mlp", "model.hidden=choice([8],[8,8])"], [{"model.hidden": v} for v in ([8], [8, 8])]),
        (["+x={a:1},{a:[1,2],b:null}"], [{"x": {"a": 1}}, {"x": {"a": [1, 2], "b": None}}]),
        (["++x.y=1e-3,-inf,True"], [{"x.y": v} for v in (0.001, float("-inf"), True)]),
        (["+x=a\\,b,' '"], [{"x": "a,b"}, {"x": " "}]),
        (["seed=range(0,3)"], [{"seed": v} for v in (0, 1, 2)]),
        (["seed=int(3.0),int(4.0)"], [{"seed": 3}, {"seed": 4}]),
        (["seed=sort(3,1,2)"], [{"seed": v} for v in (1, 2, 3)]),
        (["seed=tag(t,choice(0,1))"], [{"seed": 0}, {"seed": 1}]),
        (["model=glob(m*)"], [{"model": "mlp"}]),
        (["trainer.patience=null,3"], [{"trainer.patience": None}, {"trainer.patience": 3}]),
        (["seed=0,1", "seed=2,3"], [{"seed": 2}, {"seed": 3}]),
        (["seed=0,1", "seed=5"], [{}]),
        (["~data.reflections", "+data.reflections=true", "seed=0,1"], [{"seed": 0}, {"seed": 1}]),
        (["model=mlp", "model.dropout='${reg.dropout}',0.5"], [{"model.dropout": 0.0}, {"model.dropout": 0.5}]),
        (
            ["model=mlp,perceptron", "model.activation=relu,tanh"],
            [{"model": m, "model.activation": a} for m in ("mlp", "perceptron") for a in ("relu", "tanh")],
        ),
    ],
)
def test_every_way_to_type_a_sweep(composed, tmp_path, words, found):
    sweep, batch = composed(tmp_path, *words)
    jobs = [sweep.prepare(overrides, 0)[0] for overrides in batch]
    assert [alike(job.swept) for job in jobs] == [alike(swept) for swept in found]
    assert len({job.name for job in jobs}) == len(found)


def test_shuffled_values_keep_their_names(composed, tmp_path):
    names = []
    for _ in range(3):
        sweep, batch = composed(tmp_path, "seed=shuffle(0,1,2,3)")
        names.append({sweep.prepare(overrides, 0)[0].name for overrides in batch})
    assert names[0] == names[1] == names[2]


def test_two_points_of_one_name_are_a_sentence(composed, tmp_path, monkeypatch):
    sweep, batch = composed(tmp_path, "seed=0,1")
    monkeypatch.setattr("trainlab.sweeps.launch.point_name", lambda *_: "same")
    with pytest.raises(InputError, match="the points seed=0 and seed=1 would both be called same"):
        sweep.launch(batch, 0)


def test_an_interval_needs_a_sweeper_that_draws(composed, tmp_path):
    with pytest.raises(InputError, match=r"optim.lr=interval\(0,3\) is a range to draw values from"):
        composed(tmp_path, "seed=0,1", "optim.lr=interval(0,3)")


def test_figures_of_lists_nulls_and_truths(composed, tmp_path):
    """The lecture's MLP of no, one and two layers among them."""
    for word, drawn in (
        ("model.hidden=[8],[8,8],[]", {"error_against_model_hidden", "curves"}),
        ("trainer.patience=null,3", {"error_against_trainer_patience", "curves"}),
        ("data.reflections=true,false", {"curves"}),
        ("+x='$a$b','_c','$'", {"curves"}),
        ("+x=1,[2],null,'3'", {"curves"}),
    ):
        sweep, batch = composed(tmp_path / str(len(word)), "model=mlp", word)
        for number, overrides in enumerate(batch):
            job, point = sweep.prepare(overrides, number)
            sweep.write_points({job.folder / "point.json": sweep.settle(job, point, 1)})
            (job.folder / "results.json").write_text(results(number / 10))
            (job.folder / "metrics.csv").write_text("epoch,val/top1_error\n1,0.5\n2,0.25\n")
        groups = group(gather([sweep.folder]))
        written = draw(groups, sections_of(groups), tmp_path / f"figures_{len(word)}")
        assert {path.stem for path in written} == drawn


def test_the_overrides_typed_for_a_machine_of_a_cluster_are_read_as_they_were_meant(tmp_path):
    folder = tmp_path / "a b, c='d' (e) [f] {g} ñ $h ${i} \\ "
    (override,) = OverridesParser.create().parse_overrides([f"hydra.run.dir={typed(str(folder))}"])
    assert OmegaConf.create({"dir": override.value()}).dir == str(folder)


@pytest.mark.run
def test_a_real_sweep_of_odd_values_runs_goes_on_and_is_reported(tmp_path):
    folder = tmp_path / "a b,c"
    words = (UNDRAWN, "-m", f"hydra.sweep.dir='{folder}'", "model=mlp", "data=moons", "logger=csv", "trainer=cpu")
    words += ("trainer.max_epochs=1", "model.hidden=[4,4],[]", "+note='año, 中文 😀 \"$x$\"',null")
    done = command(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 points are finished" in done.stdout
    again = command(*words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "4 finished before" in again.stdout
    assert "runs anew" not in again.stdout
    reported = command("scripts/report.py", str(folder), "--table", "markdown", "--out", str(tmp_path / "out"))
    assert reported.returncode == 0, reported.stderr
    assert reported.stderr == ""
    assert '| [4, 4] | "año, 中文 😀 \\"$x$\\"" |' in reported.stdout
    assert "| [] | null |" in reported.stdout
    assert (tmp_path / "out/figures/error_against_model_hidden.png").exists()
