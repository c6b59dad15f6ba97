"""W&B for real: an offline run is read back and compared with the CSV; nothing it does can stop a run."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from whole_runs import UNDRAWN, command, start_command

from trainlab.recording import wandb_run

NAMES = ("train/loss", "val/loss", "val/top1_error", "train/top1_error", "lr", "epoch", "images_per_second")


@pytest.fixture(scope="module")
def run(train):
    run = train("model=mlp", "trainer.max_epochs=3", figures=True)
    assert run.status == 0, run.err
    return run


@pytest.fixture(scope="module")
def record(run):
    return read_back(run.folder)


def read_back(folder: Path) -> dict:
    """What W&B's own reader finds in the one offline record of a run directory."""
    (recorded,) = folder.glob("wandb/offline-run-*")
    return read_record(recorded)


def read_record(recorded: Path) -> dict:
    """history (a list of rows), config, summary, run, metrics (by name), exit_code, preempting."""
    done = command("-m", "wandb", "leet", "inspect", str(recorded), "--json")
    assert done.returncode == 0, done.stderr
    found: dict = {"history": [], "config": {}, "summary": {}, "metrics": {}, "exit_code": None}
    found["preempting"] = False
    for record in map(json.loads, done.stdout.splitlines()):
        kind = record["type"]
        content = record.get(kind, {})
        if kind == "history":
            found["history"].append(content["item"])
        elif kind == "run":
            found["run"] = content
            found["config"] |= content["config"]["update"]
        elif kind == "metric":
            found["metrics"][content.get("name") or content["glob_name"]] = content
        elif kind == "preempting":
            found["preempting"] = True
        elif kind == "summary":
            found["summary"] |= content["update"]
        elif kind == "exit":
            found["exit_code"] = content["exit_code"]
    return found


@pytest.mark.run
def test_the_offline_history_is_the_csv(run, record):
    rows = [row for row in record["history"] if "train/loss" in row]
    assert len(rows) == 3
    for recorded, row in zip(rows, run.rows, strict=True):
        for name in NAMES:
            assert recorded[name] == pytest.approx(row[name], rel=1e-12), name


@pytest.mark.run
def test_config_layers_figures_and_results_are_in_it(run, record):
    assert record["config"]["model"]["hidden"] == [256, 256]
    assert record["config"]["optim"]["lr"] == 0.05, "interpolations are resolved"
    keys = {key for row in record["history"] for key in row}
    tables = [row for row in record["history"] if row.get("layers._type") == "table-file"]
    assert tables[0]["layers.nrows"] == 3, "two hidden layers and the last"
    for name in ("learning_curves", "confusion_matrix", "first_layer", "worst_mistakes"):
        assert f"figures/{name}._type" in keys
    assert record["summary"]["test/top1_error"] == run.results["test/top1_error"]
    assert record["exit_code"] == 0


@pytest.mark.run
def test_points_of_a_sweep_are_a_group_and_the_failed_one_is_marked(tmp_path):
    folder = tmp_path / "rates"
    typed = ("loss=half_mse", "optim.lr=0.01,2", "seed=3", "trainer.max_epochs=4", "trainer=cpu")
    done = command(UNDRAWN, "-m", f"hydra.sweep.dir={folder}", *typed)
    assert done.returncode == 1, done.stderr
    assert "wandb sync" in done.stdout
    good, bad = (read_back(next(folder.glob(f"optim.lr-{lr}_*"))) for lr in ("0.01", "2"))
    for record, lr in ((good, 0.01), (bad, 2)):
        assert record["run"]["run_group"] == "rates"
        assert record["run"]["job_type"] == "sweep"
        assert record["run"]["display_name"].startswith(f"optim.lr-{lr}_")
        assert set(record["run"]["tags"]) == {"perceptron", "digits", "sgd", "none", "half_mse"}
        assert record["config"]["optim.lr"] == lr
        assert record["config"]["seed"] == 3
        assert {"epoch", "images_seen"} <= record["metrics"].keys()
        assert record["metrics"]["*"]["step_metric"] == "epoch"
    assert (good["exit_code"], bad["exit_code"]) == (0, 1)
    rows = [row for row in good["history"] if "val/top1_error" in row]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["images_seen"] for row in rows] == [1293 * epoch for epoch in (1, 2, 3, 4)]
    assert good["summary"]["best/val/top1_error"] == min(row["val/top1_error"] for row in rows)
    assert 0 < good["summary"]["test/top1_error"] < 1


@pytest.mark.run
def test_swept_values_of_any_kind_are_in_it(tmp_path):
    folder = tmp_path / ("ñ" * 120)
    values = [{"a": [1, None]}, "año, 中文 😀 $x", None, [[8], []]]
    typed = ("+note={a:[1,null]},'año, 中文 😀 $x',null,[[8],[]]", "model=mlp", "model.hidden=[8]", "data=moons")
    typed += ("trainer.max_epochs=1",)
    done = command(UNDRAWN, "-m", f"hydra.sweep.dir='{folder}'", *typed, "trainer=cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    found = []
    for file in folder.glob("*/point.json"):
        record = read_back(file.parent)
        assert record["run"]["run_group"] == folder.name
        assert record["run"]["display_name"] == file.parent.name
        assert record["config"]["model"]["hidden"] == [8]
        assert record["config"]["note"] == json.loads(file.read_text())["swept"]["note"]
        found.append(record["config"]["note"])
    assert sorted(found, key=str) == sorted(values, key=str)


@pytest.mark.run
def test_a_run_that_goes_on_is_the_same_wandb_run(tmp_path):
    words = [
        UNDRAWN,
        "model=mlp",
        "model.hidden=[32]",
        "trainer.max_epochs=10",
        f"hydra.run.dir={tmp_path}",
        "ckpt=auto",
    ]
    process = start_command(*words, stdout=subprocess.DEVNULL, stderr=None)
    while not (tmp_path / "checkpoints/last.ckpt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.terminate()
    assert process.wait(60) == 75
    assert command(*words).returncode == 0
    first, second = map(read_record, sorted(tmp_path.glob("wandb/offline-run-*")))
    assert first["run"]["run_id"] == second["run"]["run_id"]
    assert (first["exit_code"], second["exit_code"]) == (75, 0)
    assert first["preempting"], "not failed: it will go on"
    epochs = [row["epoch"] for record in (first, second) for row in record["history"] if "train/loss" in row]
    assert set(epochs) == set(range(1, 11))


@pytest.mark.run
def test_one_line_says_how_to_upload(run):
    (line,) = [line for line in run.out.splitlines() if "wandb sync" in line]
    folder = Path(__file__).parents[2] / line.split("wandb sync ")[1]
    assert list(folder.glob("run-*.wandb"))


@pytest.mark.run
def test_a_failed_run_is_marked_failed(train):
    failed = train("loss=half_mse", "optim.lr=2")
    assert failed.status == 1
    assert read_back(failed.folder)["exit_code"] == 1


@pytest.mark.run
def test_a_key_without_a_network_neither_asks_nor_fails(train):
    key = "0" * 40
    run = train("trainer.max_epochs=1", WANDB_API_KEY=key, WANDB_BASE_URL="http://127.0.0.1:9")
    assert run.status == 0, run.err
    assert "wandb sync" in run.out
    for path in run.folder.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), f"the key is in {path.name}"


@pytest.mark.run
def test_a_broken_wandb_does_not_stop_a_run(train, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import wandb\ndef init(*a, **k): raise RuntimeError('no disk for W&B')\nwandb.init = init\n"
    )
    there = os.environ.get("PYTHONPATH")
    run = train(
        "trainer.max_epochs=1", figures=True, PYTHONPATH=os.pathsep.join([str(tmp_path), *([there] if there else [])])
    )
    assert run.status == 0, run.err
    assert run.results["last/epoch"] == 1
    assert "no disk for W&B" in run.out + run.err


def test_an_account_is_a_key_in_the_environment_or_in_netrc(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_BASE_URL", "https://api.wandb.ai")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not wandb_run.has_account()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password 0123\n")
    (tmp_path / "netrc").chmod(0o600)
    assert wandb_run.has_account()
    (tmp_path / "netrc").write_text("machine elsewhere.org login user password 0123\n")
    assert not wandb_run.has_account()
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert wandb_run.has_account()


def test_no_network_is_noticed(monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert not wandb_run.is_reachable()


def test_online_without_a_key_records_offline(monkeypatch, tmp_path):
    """wandb.init would ask for a key where there is a terminal."""
    asked = []
    monkeypatch.setattr(wandb_run.wandb, "init", lambda **options: asked.append(options["mode"]) or FakeRun())
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    wandb_run.start(tmp_path, project="p", mode="online", tags=[], config={})
    monkeypatch.setenv("WANDB_MODE", "online")
    wandb_run.start(tmp_path, project="p", mode="auto", tags=[], config={})
    assert asked == ["offline", "offline"]


class FakeRun:
    def define_metric(self, *names, **options):
        pass

    def log(self, row, step):
        raise RuntimeError("the service is gone")


def test_a_service_that_dies_is_a_warning():
    with pytest.warns(UserWarning, match="the service is gone"):
        wandb_run.log_row(FakeRun(), {"epoch": 1.0, "train/loss": 1.0})
