"""What the page of runs is made of, without a browser: sizes, the same bytes again, hostile and damaged records."""

from __future__ import annotations

import base64
import fcntl
import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_runs import HOSTILE, make_run, make_sweep

from trainlab.errors import InputError
from trainlab.pages import command
from trainlab.pages.command import RUNNING, WATCH_SECONDS, goes_on, read, write_page
from trainlab.pages.records import (
    LOG_BYTES,
    LOG_LINES,
    Numbers,
    commands,
    commonest,
    default_config,
    differences_from,
    end_of,
    plain,
)
from trainlab.recording.run_directory import read_rows
from trainlab.sweeps.report import report
from trainlab.sweeps.table import group

AXES = {"model": ["mlp", "perceptron"], "reg.l2": [0, 1e-3, 0.1], "seed": [0, 1]}


@pytest.fixture
def sweep(tmp_path) -> Path:
    return make_sweep(tmp_path / "sweep", AXES, failed=(11,), going=(10,))


def data_of(file: Path) -> dict:
    found = re.search(r'<script type="application/json" id="records">(.*?)</script>', file.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def curve(data: dict, run: dict, metric: str) -> np.ndarray:
    numbers = np.frombuffer(base64.b64decode(data["numbers"]), "<f4")
    start = run["columns"][data["metrics"].index(metric)]
    return numbers[start : start + run["rows"]]


def test_every_number_of_every_run_is_there(sweep):
    write_page([sweep], sweep / "x.html")
    data = data_of(sweep / "x.html")
    assert len(data["runs"]) == 12
    for run in data["runs"]:
        rows = read_rows(Path(run["folder"]))
        assert run["rows"] == len(rows)
        for metric in data["metrics"]:
            np.testing.assert_array_equal(curve(data, run, metric), np.float32([row[metric] for row in rows]))


def test_what_is_no_number_or_not_there_is_not_a_number():
    numbers = Numbers()
    start = numbers.place([1.0, math.nan, math.inf, 1e300, -1e39])
    found = np.frombuffer(base64.b64decode(numbers.encoded), "<f4")[start:]
    assert found[0] == 1
    assert np.isnan(found[1:]).all()


def test_a_column_that_runs_have_in_common_is_stored_once():
    numbers = Numbers()
    assert numbers.place([1, 2, 3]) == numbers.place([1, 2, 3]) == 0
    assert numbers.place([1, 2]) == 3
    assert len(numbers.values) == 5


def test_the_same_runs_give_the_same_bytes(sweep):
    write_page([sweep], sweep / "x.html")
    first = (sweep / "x.html").read_bytes()
    for file in sweep.rglob("metrics.csv"):
        os.utime(file, (0, 0))
    write_page([sweep], sweep / "x.html")
    assert (sweep / "x.html").read_bytes() == first


def test_a_page_of_two_hundred_runs_is_small(tmp_path, monkeypatch):
    """200 runs of 100 epochs and 8 metrics in at most 2 MB beside their own figures."""
    monkeypatch.setattr("trainlab.pages.records.FIGURES_BYTES", 0)
    axes = {
        "model": ["mlp", "perceptron"],
        "reg.l2": [0, 1e-4, 1e-3, 1e-2, 0.1],
        "optim.lr": [0.1, 0.2],
        "seed": range(10),
    }
    write_page([make_sweep(tmp_path / "sweep", axes, epochs=100)], tmp_path / "x.html")
    assert len(data_of(tmp_path / "x.html")["runs"]) == 200
    assert (tmp_path / "x.html").stat().st_size <= 2e6


def test_the_runs_figures_have_a_budget(sweep, monkeypatch):
    size = next(sweep.rglob("confusion_matrix.png")).stat().st_size
    monkeypatch.setattr("trainlab.pages.records.FIGURES_BYTES", 3 * size)
    write_page([sweep], sweep / "x.html")
    data = data_of(sweep / "x.html")
    drawn = [run for run in data["runs"] if run["figures"]]
    assert len(drawn) == 3
    assert len({run["group"] for run in drawn}) == 3, "of each setting's first run first"
    uri = drawn[0]["figures"]["confusion matrix"]
    assert base64.b64decode(uri.partition(",")[2]) == next(sweep.rglob("confusion_matrix.png")).read_bytes()


def test_a_page_asks_nobody_for_anything(sweep):
    write_page([sweep], sweep / "x.html")
    text = (sweep / "x.html").read_text()
    assert re.findall(r'(?:src|href|action)\s*=\s*"(?!#|data:)[^"]*"', text) == []
    assert [url for url in re.findall(r"https?://[^\"'` )]+", text) if url != "http://www.w3.org/2000/svg"] == []
    assert "default-src 'none'" in text
    for markup in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert markup not in text


def test_hostile_records_are_data(tmp_path):
    axes = {"model": [HOSTILE, "\u2028<!--<script>"], "seed": [0]}
    write_page([make_sweep(tmp_path / "sweep", axes)], tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text()
    assert len(re.findall(r"<script", text)) == len(re.findall(r"</script>", text)) == 2, "the data and our own"
    assert text.count("alert(1)") == text.count("&lt;script&gt;alert(1)") + text.count("\\u003cscript>alert(1)")
    assert {g["choices"]["model"] for g in data_of(tmp_path / "x.html")["groups"]} == set(axes["model"])


def test_values_of_every_kind_become_json():
    odd = {"a": [math.nan, math.inf, None, True, 10**400], "b": {"c": ("x\udcff", {1: 2})}, "d": object}
    text = json.dumps(plain(odd), allow_nan=False)
    text.encode()
    assert json.loads(text)["a"][:4] == ["nan", "inf", None, True]
    assert json.loads(text)["b"] == {"c": ["x?", {"1": 2}]}


def test_differences_from_the_default():
    default = {"model.name": "perceptron", "optim.lr": 0.3, "reg.l2": 0.0, "ckpt": None, "model.init": "paper"}
    config = {"model.name": "mlp", "model.hidden": [8], "model.init": "he", "optim.lr": 0.3, "reg.l2": 1, "ckpt": "x"}
    config |= {"recipe.lr": 9, "model._target_": "x"}
    assert differences_from(default, config, []) == [("model", "mlp", "perceptron"), ("reg.l2", 1, 0.0)]
    typed = ["model=mlp", "model.hidden=[8]"]
    assert ("model.hidden", [8]) in differences_from(default, config, typed)
    assert differences_from({}, config, []) == []
    assert default_config()["model.name"] == "perceptron"


def test_the_commands_are_quoted_for_a_shell(tmp_path):
    typed = ["data.root=/a b/$(x)", "model.hidden=[8,8]", "seed=0"]
    again, anew = commands(tmp_path / "a b;c", typed)
    assert shlex.split(again) == ["python", "scripts/rerun.py", str(tmp_path / "a b;c")]
    assert shlex.split(anew) == ["python", "train.py", *typed]


def test_what_is_common_is_what_most_have():
    assert commonest([{"a": 1, "b": 2}, {"a": 1.0}, {"a": 3, "data._target_": "x"}]) == {"a": 1, "b": 2}


def test_the_end_of_a_log(tmp_path):
    log = tmp_path / "log.txt"
    log.write_bytes(b"\xff old\n" * 9000 + b"a 1%\ra 100%\n\x1b[31mred\x1b[0m\r\n\n")
    lines = end_of(log).split("\n")
    assert lines[-2:] == ["a 100%", "red"]
    assert len(lines) == LOG_LINES
    assert len(end_of(log)) <= LOG_BYTES
    assert end_of(tmp_path / "none") == ""


def test_a_single_run_tells_its_command_from_hydras_list(tmp_path):
    make_run(tmp_path / "run", {"seed": 3}, 0, 2)
    (tmp_path / "run/point.json").unlink()
    (tmp_path / "run/.hydra").mkdir()
    (tmp_path / "run/.hydra/config.yaml").write_text("seed: 3\nmodel: {name: mlp}\ndata: {name: digits}\n")
    (tmp_path / "run/.hydra/overrides.yaml").write_text("- model=mlp\n- seed=3\n")
    write_page([tmp_path / "run"], tmp_path / "x.html")
    data = data_of(tmp_path / "x.html")
    assert data["title"] == "mlp on digits"
    assert data["runs"][0]["commands"][1] == "python train.py model=mlp seed=3"
    (tmp_path / "run/.hydra/overrides.yaml").write_text("{[")
    write_page([tmp_path / "run"], tmp_path / "x.html")
    assert len(data_of(tmp_path / "x.html")["runs"][0]["commands"]) == 1


def test_a_damaged_run_is_shown_with_what_is_wrong(sweep):
    broken = sorted(path for path in sweep.iterdir() if path.is_dir())[:2]
    (broken[0] / "results.json").write_text("{")
    (broken[1] / "point.json").write_text("[]")
    write_page([sweep], sweep / "x.html")
    wrong = [run["error"] for run in data_of(sweep / "x.html")["runs"] if run["state"] == "damaged"]
    assert len(wrong) == 2
    assert all("is damaged" in error for error in wrong)


def test_a_run_whose_directory_is_taken_is_running(sweep):
    if not command.LOCKS.exists():
        pytest.skip("only Linux says who holds a lock")
    runs, _ = read([sweep])
    assert [run.state for run in runs].count(RUNNING) == 0
    assert goes_on(runs)
    going = next(run for run in runs if run.state == "interrupted")
    with open(going.folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        runs, _ = read([sweep])
        assert [run.state for run in runs if run.folder == going.folder] == [RUNNING]


def test_watching_ends_with_the_last_run_and_the_page_stays(sweep, monkeypatch, capsys):
    going = next(path.parent.parent for path in sweep.rglob("last.ckpt"))
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert data_of(sweep / "x.html")["reload"] == WATCH_SECONDS
        if len(slept) == 2:
            other = next(path for path in sweep.rglob("results.json"))
            (going / "results.json").write_text(other.read_text())

    monkeypatch.setattr(command.time, "sleep", sleep)
    report([str(sweep), "--html", str(sweep / "x.html"), "--watch"])
    assert len(slept) == 2
    assert min(slept) >= WATCH_SECONDS
    assert data_of(sweep / "x.html")["reload"] is None
    assert "the page is complete" in capsys.readouterr().out


def test_watching_ends_with_ctrl_c_and_the_page_stays(sweep, monkeypatch, capsys):
    def sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", sleep)
    report([str(sweep), "--html", str(sweep / "x.html"), "--watch"])
    assert data_of(sweep / "x.html")["reload"] is None
    assert "stopped" in capsys.readouterr().out


def test_it_is_opened_where_that_is_asked_for(sweep, monkeypatch):
    shown: list[str] = []
    monkeypatch.setattr(command.webbrowser, "get", lambda: None)
    monkeypatch.setattr(command.webbrowser, "open", shown.append)
    report([str(sweep), "--html", str(sweep / "a b.html"), "--open"])
    assert shown == [(sweep / "a b.html").as_uri()]


def test_columns_and_order_can_be_asked_for(sweep):
    words = ["--html", str(sweep / "x.html"), "--metric", "test/loss", "--sort", "reg.l2"]
    report([str(sweep), *words])
    data = data_of(sweep / "x.html")
    assert "test/loss" in data["headline"]
    assert [g["choices"]["reg.l2"] for g in data["groups"]] == [0, 0, 0.001, 0.001, 0.1, 0.1]


@pytest.mark.process
def test_no_torch_is_loaded_for_a_page(sweep):
    code = f"from trainlab.sweeps.report import report; report([{str(sweep)!r}, '--html', {str(sweep / 'x.html')!r}]); "
    code += "import sys; print(sorted({'torch', 'lightning', 'sklearn'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{sweep}", "--html", "{sweep}"], "is a folder; name a file in it"),
        (["{sweep}", "--html", "/proc/nothing/x.html"], "cannot be written"),
        (["{sweep}/empty", "--html", "{sweep}/x.html"], "there are no runs in"),
        (["{sweep}/nothing", "--html", "{sweep}/x.html"], "is no folder"),
        (["{sweep}", "--watch"], "--watch is about the page of runs; add --html FILE"),
        (["{sweep}", "--open"], "--open is about a page; add --html FILE"),
        (["{sweep}", "--html", "{sweep}/x.html", "--table"], "so --table means nothing"),
        (["{sweep}", "--html", "{sweep}/x.html", "--metric", "tset"], "no run has a result called tset"),
        (["{sweep}", "--html", "{sweep}/x.html", "--sort", "tset"], "no run has a result called tset"),
        (["{sweep}", "--html", "{sweep}/x.html", "--open"], "--open finds no browser on this machine"),
    ],
)
def test_a_wrong_command_is_a_sentence_and_nothing_is_written(sweep, words, said, monkeypatch):
    def no_browser() -> None:
        raise command.webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(command.webbrowser, "get", no_browser)
    (sweep / "empty").mkdir()
    with pytest.raises(InputError) as error:
        report([word.format(sweep=sweep) for word in words])
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not (sweep / "x.html").exists()


def test_groups_have_names_that_outlast_other_runs(sweep):
    write_page([sweep], sweep / "x.html")
    before = {g["id"] for g in data_of(sweep / "x.html")["groups"]}
    make_run(sweep / "more", {"model": "mlp", "reg.l2": 5, "seed": 0}, 50, 3)
    write_page([sweep], sweep / "x.html")
    after = {g["id"] for g in data_of(sweep / "x.html")["groups"]}
    assert before < after
    assert len(after) == len(group(read([sweep])[0]))
