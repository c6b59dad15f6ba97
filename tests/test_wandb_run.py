"""W&B for real: an offline run is read back and compared with the CSV; nothing it does can stop a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from whole_runs import command

from trainlab import wandb_run

NAMES = ("train/loss", "val/loss", "val/top1_error", "train/top1_error", "lr", "epoch", "images_per_second")


@pytest.fixture(scope="module")
def run(train):
    run = train("model=mlp", "trainer.max_epochs=3")
    assert run.status == 0, run.err
    return run


def read_back(folder: Path) -> dict:
    """What W&B's own reader finds in the offline record: history (a list of rows), config, summary and exit_code."""
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


@pytest.mark.slow
def test_the_offline_history_is_the_csv(run):
    rows = [row for row in read_back(run.folder)["history"] if "train/loss" in row]
    assert len(rows) == 3
    for recorded, row in zip(rows, run.rows, strict=True):
        for name in NAMES:
            assert recorded[name] == pytest.approx(row[name], rel=1e-12), name


@pytest.mark.slow
def test_config_layers_figures_and_results_are_in_it(run):
    record = read_back(run.folder)
    assert record["config"]["model"]["hidden"] == [256, 256]
    assert record["config"]["optim"]["lr"] == 0.05, "interpolations are resolved"
    keys = {key for row in record["history"] for key in row}
    tables = [row for row in record["history"] if row.get("layers._type") == "table-file"]
    assert tables[0]["layers.nrows"] == 3, "two hidden layers and the last"
    for name in ("learning_curves", "confusion_matrix", "first_layer", "worst_mistakes"):
        assert f"figures/{name}._type" in keys
    assert record["summary"]["test/top1_error"] == run.results["test/top1_error"]
    assert record["exit_code"] == 0


@pytest.mark.slow
def test_one_line_says_how_to_upload(run):
    (line,) = [line for line in run.out.splitlines() if "wandb sync" in line]
    folder = Path(__file__).parents[1] / line.split("wandb sync ")[1]
    assert list(folder.glob("run-*.wandb"))


@pytest.mark.slow
def test_a_failed_run_is_marked_failed(train):
    failed = train("loss=half_mse", "optim.lr=2")
    assert failed.status == 1
    assert read_back(failed.folder)["exit_code"] == 1


@pytest.mark.slow
def test_a_key_without_a_network_neither_asks_nor_fails(train):
    key = "0" * 40
    run = train("trainer.max_epochs=1", WANDB_API_KEY=key, WANDB_BASE_URL="http://127.0.0.1:9")
    assert run.status == 0, run.err
    assert "wandb sync" in run.out
    for path in run.folder.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), f"the key is in {path.name}"


@pytest.mark.slow
def test_a_broken_wandb_does_not_stop_a_run(train, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import wandb\ndef init(*a, **k): raise RuntimeError('no disk for W&B')\nwandb.init = init\n"
    )
    run = train("trainer.max_epochs=1", PYTHONPATH=str(tmp_path))
    assert run.status == 0, run.err
    assert run.results["epoch"] == 1
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
