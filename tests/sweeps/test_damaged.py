"""What lies in a run's directory comes from other machines and from people: whatever it holds, no traceback."""

from __future__ import annotations

import copy
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from whole_runs import command

from trainlab.errors import InputError
from trainlab.recording.point import load_point
from trainlab.recording.run_directory import load_results, load_rows, read_results, read_rows
from trainlab.sweeps import table
from trainlab.sweeps.display import progress
from trainlab.sweeps.launch import Sweep
from trainlab.sweeps.point import FINISHED, INTERRUPTED, NEW, differences, state_of
from trainlab.sweeps.pool import Job, end
from trainlab.sweeps.report import report
from trainlab.sweeps.table import DAMAGED, gather

pytestmark = pytest.mark.process

DEEP: Any = []
for _ in range(100):
    DEEP = [DEEP]
INSTEAD = (3, -1, "x", None, True, [], {}, [None, "a"], DEEP, 10**400, 1e308, float("nan"), float("-inf"))
CONTENT = (
    b"",
    b"\0\xff\xfe binary",
    b"[" * 100_000,
    b"{" * 1000,
    b'"x"',
    b"null",
    b"1e999",
    b"&a [*a, *a]",
    b"\xef\xbb\xbf{}",
)

RESULTS = {
    "model": "mlp",
    "seed": 0,
    "last/epoch": 2,
    "last/training_seconds": 1.5,
    "monitor": "val/top1_error",
    "best/val/top1_error": 0.25,
    "test/top1_error": 0.5,
    "test/top1_error_tencrop": 0.5,
    "views": 10,
    "threads": 1,
    "target": 0.3,
    "target_reached": True,
    "last/weight_norm": 1.0,
}
STATUS = {"state": "failed", "error": "the loss became infinite", "seconds": 1.0}
METRICS = "epoch,train/top1_error,training_seconds\n1,0.5,1.0\n2,0.25,1.5\n"
FILES = ("point.json", "results.json", "status.json", "metrics.csv", ".hydra/config.yaml")


@pytest.fixture(scope="module")
def whole(
    composed: Callable[..., tuple[Sweep, list[list[str]]]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Sweep, list[Any]]:
    """Of two points on points of the plane, both finished; a copy of the folder, the sweep, and its jobs and points."""
    folder = tmp_path_factory.mktemp("damaged")
    made, batch = composed(folder / "sweep", "model=mlp", "data=moons", "reg.l2=0,1")
    prepared = [made.prepare(overrides, number) for number, overrides in enumerate(batch)]
    for job, point in prepared:
        made.write_points({job.folder / "point.json": made.settle(job, point, 1)})
        (job.folder / "results.json").write_text(json.dumps(RESULTS))
        (job.folder / "metrics.csv").write_text(METRICS)
        (job.folder / ".hydra").mkdir()
        (job.folder / ".hydra/config.yaml").write_text(yaml.safe_dump(point.config))
    listed = {"overrides": [], "swept": ["reg.l2"], "points": {job.name: job.swept for job, _ in prepared}}
    (made.folder / "sweep.json").write_text(json.dumps(listed))
    return shutil.copytree(made.folder, folder / "whole"), made, prepared


@pytest.fixture
def sweep(whole: tuple[Path, Sweep, list[Any]]) -> tuple[Path, Sweep, list[Any]]:
    """The same with the folder as it was at first, whatever another test has done to it."""
    undamaged, made, prepared = whole
    shutil.rmtree(made.folder)
    shutil.copytree(undamaged, made.folder)
    return made.folder, made, copy.deepcopy(prepared)


def changed(good: Any) -> Iterator[Any]:
    """`good` with one value, at any depth, replaced by each of INSTEAD."""
    yield from INSTEAD
    places: list[tuple[Any, ...]] = [()]
    while places:
        place = places.pop()
        node = good
        for key in place:
            node = node[key]
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((*place, key))
            for value in INSTEAD:
                other = copy.deepcopy(good)
                parent = other
                for step in place:
                    parent = parent[step]
                parent[key] = value
                yield other


def reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What scripts/report.py prints, or the sentence that it ends with."""
    try:
        report([str(folder), "--table", "--out", str(folder.parent / "out")])
        return capsys.readouterr().out
    except InputError as error:
        sentence = str(error)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("name", ["results.json", "status.json", "metrics.csv"])
def test_a_value_of_any_type_anywhere_in_a_file(sweep, name, monkeypatch, capsys):
    """Each is refused, or taken for what it is; the table is made of it either way."""
    monkeypatch.setattr("trainlab.sweeps.drawing.save", lambda *_: None)
    folder, _, prepared = sweep
    job, _ = prepared[0]
    if name == "status.json":
        (job.folder / "results.json").unlink()
    good: Any = {"results.json": RESULTS, "status.json": STATUS, "metrics.csv": METRICS}[name]
    for number, content in enumerate(changed(list(map(list, _cells())) if name == "metrics.csv" else good)):
        text = _as_csv(content) if name == "metrics.csv" else json.dumps(content)
        (job.folder / name).write_text(text)
        found = {run.folder: run for run in gather([folder])}
        assert len(found) == 2
        assert found[prepared[1][0].folder].state == FINISHED, "the others are what they were"
        progress(job)
        state_of(job.folder)
        if number % 10 == 0:
            assert "2 runs" in reported(folder, capsys)


def _cells() -> list[list[Any]]:
    return [line.split(",") for line in METRICS.splitlines()]


def _as_csv(content: Any) -> str:
    rows = content if isinstance(content, list) else [[content]]
    return "".join(",".join(map(str, row if isinstance(row, list) else [row])) + "\n" for row in rows)


def test_a_value_of_any_type_anywhere_in_a_points_file(sweep, monkeypatch, capsys):
    """Its configuration is data, also where the report draws by it; the sweep runs anew what has changed."""
    monkeypatch.setattr("trainlab.sweeps.drawing.save", lambda *_: None)
    folder, made, prepared = sweep
    job, point = prepared[0]
    good = json.loads((job.folder / "point.json").read_text())
    for number, content in enumerate(itertools.islice(changed(good), 0, None, 3)):
        (job.folder / "point.json").write_text(json.dumps(content))
        found = {run.folder: run for run in gather([folder])}
        assert found[prepared[1][0].folder].state == FINISHED
        before, refused = None, ""
        try:
            before = load_point(job.folder)
        except InputError as error:
            refused = str(error)
        assert (found[job.folder].state == DAMAGED) == bool(refused)
        assert refused.startswith(str(job.folder / "point.json")) or not refused
        if before is not None:
            differences(point, before)
        if number % 25 == 0:
            assert "2 runs" in reported(folder, capsys)
            backup = folder.parent / "backup"
            shutil.copytree(job.folder, backup)
            assert made.inspect(job.folder, point).state in (FINISHED, NEW)
            shutil.rmtree(job.folder, ignore_errors=True)
            shutil.move(backup, job.folder)


def test_a_value_of_any_type_anywhere_in_a_runs_configuration(sweep, monkeypatch, capsys):
    monkeypatch.setattr("trainlab.sweeps.drawing.save", lambda *_: None)
    folder, _, prepared = sweep
    job, _ = prepared[0]
    file = job.folder / ".hydra/config.yaml"
    good = yaml.safe_load(file.read_text())
    (job.folder / "point.json").unlink()
    for number, content in enumerate(itertools.islice(changed(good), 0, None, 3)):
        file.write_text(yaml.safe_dump(content))
        found = {run.folder: run for run in gather([folder])}
        assert found[prepared[1][0].folder].state == FINISHED
        if number % 25 == 0:
            assert "2 runs" in reported(folder, capsys)


def test_a_value_of_any_type_anywhere_in_a_list_of_points(sweep, monkeypatch, capsys):
    monkeypatch.setattr("trainlab.sweeps.drawing.save", lambda *_: None)
    folder, _, _ = sweep
    good = json.loads((folder / "sweep.json").read_text())
    for content in changed(good):
        (folder / "sweep.json").write_text(json.dumps(content))
        said = reported(folder, capsys)
        assert "2 runs" in said or "sweep.json is damaged" in said


@pytest.mark.parametrize("name", [*FILES, "sweep.json"])
@pytest.mark.parametrize("content", [*CONTENT, None], ids=[*(repr(c[:9]) for c in CONTENT), "a folder"])
def test_a_file_that_is_none(sweep, name, content, monkeypatch, capsys):
    monkeypatch.setattr("trainlab.sweeps.drawing.save", lambda *_: None)
    folder, made, prepared = sweep
    job, point = prepared[0]
    file = (folder if name == "sweep.json" else job.folder) / name
    file.unlink(missing_ok=True)
    if name == "status.json":
        (job.folder / "results.json").unlink()
    if name == ".hydra/config.yaml":
        (job.folder / "point.json").unlink()
    file.mkdir() if content is None else file.write_bytes(content)
    said = reported(folder, capsys)
    if name == "sweep.json":
        assert f"{file} is damaged" in said or f"{file} cannot be read" in said
    elif content is not None and (name == "metrics.csv" or (name.endswith("yaml") and content.endswith(b"{}"))):
        assert "2 runs" in said
    else:
        assert "2 runs" in said
        assert "1 damaged" in said
        assert f"{file} is damaged" in said or f"{file} cannot be read" in said
    assert made.inspect(job.folder, point).state in (FINISHED, NEW)


def test_a_damaged_result_is_made_again_from_the_checkpoint(sweep):
    _, made, prepared = sweep
    job, point = prepared[0]
    (job.folder / "results.json").write_text('{"monitor": "val/loss", "best/val/loss": "x"}')
    assert made.inspect(job.folder, point).state == NEW
    (job.folder / "checkpoints").mkdir()
    (job.folder / "checkpoints/last.ckpt").touch()
    assert made.inspect(job.folder, point).state == INTERRUPTED
    end(job, 0, 1.0)
    assert job.status.state == "failed", "it ended well and left no results"
    assert read_results(job.folder) is None
    with pytest.raises(InputError, match=r"results.json is damaged \(best/val/loss should be a number\)"):
        load_results(job.folder)


def test_a_damaged_point_runs_anew_and_what_was_there_is_kept(sweep, capsys):
    folder, made, prepared = sweep
    job, point = prepared[0]
    (job.folder / "point.json").write_text("[]")
    (folder / "set_aside").mkdir()
    (folder / f"set_aside/{job.name}.old").touch()
    assert made.inspect(job.folder, point).state == NEW
    assert "runs anew, because its point.json is damaged" in capsys.readouterr().out
    assert (folder / f"set_aside/{job.name}.1/results.json").exists()


def test_rows_up_to_the_damage(tmp_path):
    (tmp_path / "metrics.csv").write_text(METRICS + "3,what,2\n4,0.1,3\n")
    assert [row["epoch"] for row in read_rows(tmp_path)] == [1, 2]
    with pytest.raises(InputError, match=r"metrics.csv is damaged \(could not convert"):
        load_rows(tmp_path)


@pytest.mark.parametrize("name", ["../../etc", "/etc", "..", ".", "", "a/b", "a\0b", "x" * 300, "é" * 200])
def test_a_points_name_does_not_lead_out_of_the_sweep(tmp_path, name):
    (tmp_path / "sweep.json").write_text(json.dumps({"points": {name: {}}}))
    with pytest.raises(InputError, match=r"sweep.json is damaged .* is no name of a point"):
        gather([tmp_path])


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "${oc.decode:1}", "${sweep_name:[a]}", "a ${oc.env:PATH} b"])
def test_a_configuration_out_of_a_file_asks_nothing_of_this_machine(tmp_path, monkeypatch, value):
    (tmp_path / "run/.hydra").mkdir(parents=True)
    (tmp_path / "run/.hydra/config.yaml").write_text(yaml.safe_dump({"model": {"name": value}, "seed": 0}))
    (run,) = gather([tmp_path])
    assert run.state == DAMAGED
    assert run.config == {}


def test_a_configurations_own_interpolations_are_resolved(tmp_path):
    (tmp_path / "run/.hydra").mkdir(parents=True)
    config = {"a": {"b": 1}, "c": "${a.b}", "d": "${oc.select:a.x,7}"}
    (tmp_path / "run/.hydra/config.yaml").write_text(yaml.safe_dump(config))
    (run,) = gather([tmp_path])
    assert run.config == {"a.b": 1, "c": 1, "d": 7}


def test_aliases_that_stand_for_more_than_there_is_memory(tmp_path):
    (tmp_path / ".hydra").mkdir()
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join(['*' + a] * 10)}]" for a, b in zip("abcdefghijklm", "bcdefghijklmn", strict=True)]
    (tmp_path / ".hydra/config.yaml").write_text("\n".join(lines))
    with pytest.raises(InputError, match="it has an alias"):
        table.config_of(tmp_path)


def test_large_numbers_in_a_point_make_nothing_large(sweep, capsys):
    """scikit-learn's network and the points of the plane are of the checkpoint, which must have such weights."""
    folder, _, prepared = sweep
    for job, _ in prepared:
        point = json.loads((job.folder / "point.json").read_text())
        point["config"]["data"]["n_samples"] = 10**12
        point["config"]["model"]["hidden"] = [10**9, 10**9]
        (job.folder / "point.json").write_text(json.dumps(point))
    assert "2 runs" in reported(folder, capsys)


@pytest.mark.run
def test_the_script_shows_what_is_damaged_and_ends_well(sweep):
    folder, _, prepared = sweep
    (prepared[0][0].folder / "results.json").write_text("3")
    done = command("scripts/report.py", str(folder), "--table")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "damaged: " in done.stdout
    (folder / "sweep.json").write_text("3")
    done = command("scripts/report.py", str(folder), "--table")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_the_name_of_a_file_where_a_points_folder_should_be(composed, tmp_path):
    made, batch = composed(tmp_path, "seed=0,1")
    job, point = made.prepare(batch[0], 0)
    job.folder.write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        made.write_points({job.folder / "point.json": made.settle(job, point, 1)})
    assert isinstance(job, Job)
