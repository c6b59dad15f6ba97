"""W&B for real: an offline run is read back and compared with the CSV; nothing it does can stop a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from whole_runs import command

from trainlab.recording import wandb_run

KEY = "0123456789" * 4
NAMES = ("train/loss", "val/loss", "val/top1_error", "train/top1_error", "lr", "epoch", "images_per_second")


@pytest.fixture(scope="module")
def run(train):
    """With a key and without a network, which neither asks nor fails."""
    away = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    run = train("model=mlp", "trainer.max_epochs=3", figures=True, **away)
    assert run.status == 0, run.err
    return run


@pytest.fixture(scope="module")
def record(run):
    return read_back(run.folder)


def read_back(folder: Path) -> dict:
    """What W&B's own reader finds in the one offline record of a run directory: history (a list of rows), config,
    summary and exit_code."""
    (recorded,) = folder.glob("wandb/offline-run-*")
    done = command("-m", "wandb", "leet", "inspect", str(recorded), "--json")
    assert done.returncode == 0, done.stderr
    found: dict = {"history": [], "config": {}, "summary": {}, "exit_code": None}
    for record in map(json.loads, done.stdout.splitlines()):
        kind = record["type"]
        content = record.get(kind, {})
        if kind == "history":
            found["history"].append(content["item"])
        elif kind == "run":
            found["config"] |= content["config"]["update"]
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
def test_one_line_says_how_to_upload(run):
    (line,) = [line for line in run.out.splitlines() if "wandb sync" in line]
    folder = Path(__file__).parents[2] / line.split("wandb sync ")[1]
    assert list(folder.glob("run-*.wandb"))


@pytest.mark.run
def test_the_key_is_nowhere(run):
    for path in run.folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), f"the key is in {path.name}"


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
    offline = False

    def define_metric(self, *names, **options):
        pass

    def log(self, row, step):
        raise RuntimeError("the service is gone")


def test_a_service_that_dies_is_a_warning():
    with pytest.warns(UserWarning, match="the service is gone"):
        wandb_run.log_row(FakeRun(), {"epoch": 1.0, "train/loss": 1.0})


def test_an_offline_record_leaves_out_what_an_earlier_one_has(tmp_path):
    """After a kill, metrics.csv, like W&B, has epochs that the checkpoint has not: they come again."""
    assert wandb_run.last_recorded(tmp_path) == wandb_run.NEVER
    wandb_run.identity(tmp_path)
    assert wandb_run.last_recorded(tmp_path) == 0
    (tmp_path / "metrics.csv").write_text("epoch,train/loss\n1,0.5\n2,0.4\n3,0.3\n")
    last = wandb_run.last_recorded(tmp_path)
    for offline, logged in ((True, [4, 5]), (False, [2, 3, 4, 5])):
        run = FakeRun()
        run.offline, steps = offline, []
        run.log = lambda row, step, steps=steps: steps.append(step)
        for epoch in (2, 3, 4, 5):
            wandb_run.log_row(run, {"epoch": epoch}, after=last)
        assert steps == logged, "a server leaves them out by itself"


def test_what_is_not_uploaded_goes_on_offline(monkeypatch, tmp_path):
    """Whatever goes online before it would come before it in W&B, too."""
    modes = []
    monkeypatch.setattr(wandb_run.wandb, "init", lambda **options: modes.append(options["mode"]) or FakeRun())
    monkeypatch.setattr(wandb_run, "is_reachable", lambda: True)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    record = tmp_path / "wandb/offline-run-1"
    record.mkdir(parents=True)
    for mode in ("auto", "online"):
        wandb_run.start(tmp_path, project="p", mode=mode, tags=[], config={})
    (record / "run-1.wandb.synced").touch()  # by wandb sync
    wandb_run.start(tmp_path, project="p", mode="auto", tags=[], config={})
    assert modes == ["offline", "online", "online"]
