"""W&B online for real: what its own client sends to a server on loopback that speaks as much of W&B's protocol."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest
import wandb
from wandb_answers import ENTITY
from wandb_server import KEY, WandbServer
from whole_runs import DRAWN, INHERITED, REPOSITORY, UNDRAWN, command, start_command

from trainlab.pages.dashboards.front import dashboard
from trainlab.recording import wandb_run
from trainlab.recording.point import Point


@pytest.fixture(scope="module")
def server():
    with WandbServer() as server:
        yield server


@pytest.fixture
def with_account(monkeypatch, server):
    """This process has one at the server."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield
    wandb.teardown()


@pytest.fixture(scope="module")
def online(train, server):
    """A run of an experiment, with its checkpoints as an artifact."""
    words = (
        "experiment=relu_vs_tanh_fashion",
        "data=digits",
        "model.hidden=[8]",
        "trainer.max_epochs=4",
        "aug=tencrop",
    )
    words += ("ablation=relu", "logger.checkpoint=true", "trainer.target=null")
    run = train(*words, figures=True, **server.environment)
    assert run.status == 0, run.err
    return run


@pytest.fixture(scope="module")
def sent(online, server):
    return server.runs[(online.folder / "wandb/id").read_text()]


@pytest.fixture(scope="module")
def strengths(tmp_path_factory, server):
    """A sweep that is recorded offline and then synchronised: of two strengths of L2 one is too large."""
    folder = tmp_path_factory.mktemp("sweep") / "strengths"
    typed = ("data=moons", "loss=half_mse", "reg.l2=0.01,1e9", "seed=3", "trainer.max_epochs=4", "trainer=cpu")
    done = command(DRAWN, "-m", f"hydra.sweep.dir={folder}", *typed)
    assert done.returncode == 1, done.stderr
    synchronise(done.stdout, server)
    return folder


def synchronise(said: str, server: WandbServer) -> None:
    """Type what the command's last line on W&B says."""
    (line,) = [line for line in said.splitlines() if "wandb sync" in line]
    typed = line[line.index("wandb sync") :].replace("wandb", f"{sys.executable} -m wandb", 1)
    with TemporaryDirectory() as logs:  # of wandb sync itself
        env = INHERITED | server.environment | {"WANDB_DIR": logs}
        done = subprocess.run(typed, shell=True, cwd=REPOSITORY, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.run
def test_a_run_logs_in_streams_its_history_and_ends(online, server, sent):
    assert server.keys == {KEY}
    assert server.unknown == []
    assert "wandb sync" not in online.out, "there is nothing left to upload"
    rows = [row for row in sent.history if "train/loss" in row]
    assert len(rows) == 4
    for there, here in zip(rows, online.rows, strict=True):
        assert {name: there[name] for name in here} == pytest.approx(here, rel=1e-12)
        assert there["seconds"] == there["training_seconds"]
    assert sent.exit_code == 0
    assert {ENTITY} == {given["entity"] for name, given in server.asked if name == "CreateRunFiles"}


@pytest.mark.run
def test_it_is_filed_under_its_experiment_and_found_by_its_choices(online, sent):
    assert sent.fields["project"] == "trainlab"
    assert sent.fields["groupName"] == "relu_vs_tanh_fashion"
    assert sent.fields["jobType"] == "run"
    tags = {"mlp", "digits", "momentum", "none", "tencrop", "cross_entropy", "relu_vs_tanh_fashion"}
    assert set(sent.fields["tags"]) == tags
    assert sent.config["model"]["hidden"] == [8]
    assert sent.config["ablation"]["change"] == "tanh for ReLU"
    for axis in ("epoch", "images_seen", "seconds"):
        assert "5" not in sent.metrics[axis], f"{axis} is an axis of its own"


@pytest.mark.run
def test_summary_media_layers_and_checkpoints_come_along(online, server, sent):
    results = online.results
    for name in ("best/train/top1_error", "test/top1_error", "test/top1_error_tencrop"):
        assert sent.summary[name] == results[name]
    assert sent.summary["total_seconds"] == results["seconds"]
    assert sent.summary["seconds"] == results["last/training_seconds"]
    for name in ("learning_curves", "confusion_matrix", "first_layer", "worst_mistakes"):
        (uploaded,) = [file for path, file in sent.files.items() if f"figures/{name}_" in path]
        assert uploaded == (online.folder / f"figures/{name}.png").read_bytes()
    (table,) = [json.loads(file) for path, file in sent.files.items() if path.startswith("media/table/layers")]
    assert [row[0] for row in table["data"]] == ["layers.1", "layers.3"]
    (checkpoint,) = [one for one in server.artifacts.values() if one["artifactTypeName"] == "model"]
    assert checkpoint["committed"]
    for name in ("best.ckpt", "last.ckpt"):
        assert checkpoint["files"][name] == (online.folder / "checkpoints" / name).read_bytes()
    assert json.loads(checkpoint["metadata"])["test/top1_error"] == results["test/top1_error"]


@pytest.mark.run
def test_the_key_is_nowhere(online):
    assert KEY not in online.out + online.err
    searched = [path for path in online.folder.rglob("*") if path.is_file()]  # W&B's logs too, through their links
    assert {"last.ckpt", "config.yaml", "debug-internal.log", "debug-core.log"} <= {path.name for path in searched}
    for path in searched:
        assert KEY.encode() not in path.read_bytes(), f"the key is in {path.name}"


@pytest.mark.run
def test_points_of_a_sweep_are_a_group_and_the_failed_one_is_marked(strengths, server):
    points = [server.runs[file.read_text()] for file in sorted(strengths.glob("*/wandb/id"))]
    assert [point.config["reg.l2"] for point in points] == [0.01, 1e9]
    for point in points:
        assert point.fields["groupName"] == "strengths"
        assert point.fields["jobType"] == "sweep"
        assert point.fields["displayName"].startswith(f"reg.l2-{point.config['reg.l2']}_")
        assert set(point.fields["tags"]) == {"perceptron", "moons", "sgd", "none", "half_mse"}
        assert point.config["seed"] == 3
        assert {"epoch", "images_seen", "seconds"} <= point.metrics.keys()
        assert point.step_metric("*") == "epoch"
    good, bad = points
    assert (good.exit_code, bad.exit_code) == (0, 1)
    rows = [row for row in good.history if "val/top1_error" in row]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["images_seen"] for row in rows] == [48 * epoch for epoch in (1, 2, 3, 4)]
    assert good.summary["best/val/top1_error"] == min(row["val/top1_error"] for row in rows)
    assert 0 < good.summary["test/top1_error"] < 1
    (row,) = [row for row in good.history if "swept/reg_l2" in row]
    assert row["swept/reg_l2"] == 0.01, "so that an error can be drawn against it"
    assert row["test/top1_error"] == good.summary["test/top1_error"]


@pytest.mark.process
@pytest.mark.parametrize("note", [{"a": [1, None]}, "año, 中文 😀 $x", None, [[8], []]], ids=repr)
def test_swept_values_of_any_kind_are_in_it(tmp_path, with_account, server, note):
    sweep, swept = "ñ" * 120, {"note": note, "model": "mlp", "model.hidden": [8]}
    Point(sweep, swept, overrides=[], config={}, commit=None).write(tmp_path)
    config = {"note": note, "model": {"name": "mlp", "hidden": [8]}}
    run = wandb_run.start(tmp_path, project="p", mode="online", tags=[], config=config)
    assert wandb_run.finish(run, {}) is None
    record = server.runs[(tmp_path / "wandb/id").read_text()]
    assert record.fields["groupName"] == sweep
    assert record.fields["displayName"] == tmp_path.name
    assert record.config == {**config, "model.hidden": [8]}


@pytest.mark.run
def test_a_run_that_goes_on_elsewhere_is_the_same_wandb_run(tmp_path, server):
    """Offline: stopped, moved with its directory, ended; then synchronised."""
    words = [UNDRAWN, "model=mlp", "model.hidden=[32]", "trainer.max_epochs=10", "ckpt=auto"]
    first, second = tmp_path / "first", tmp_path / "second"
    process = start_command(*words, f"hydra.run.dir={first}", stdout=None, stderr=None)
    while not (first / "checkpoints/last.ckpt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.terminate()
    assert process.wait(60) == 75
    shutil.move(first, second)
    done = command(*words, f"hydra.run.dir={second}")
    assert done.returncode == 0, done.stderr
    before = len(server.runs)
    synchronise(done.stdout, server)
    assert len(server.runs) == before + 1, "one run"
    run = server.runs[(second / "wandb/id").read_text()]
    assert run.preempting, "not failed: it went on"
    assert run.exit_code == 0
    assert run.epochs == list(range(1, 11)), "each epoch once"
    assert sum("layers" in row for row in run.history) == 1


@pytest.mark.process
def test_online_what_the_server_has_is_left_out(tmp_path, with_account, server):
    """Stopped in epoch 4, W&B has three; moved to another machine, the run tells of all that its checkpoint has."""
    before = len(server.runs)
    for folder, epochs, results in (("here", (1, 2, 3), None), ("there", (1, 2, 3, 4, 5), {"test/top1_error": 0.1})):
        if epochs[-1] == 5:
            shutil.copytree(tmp_path / "here", tmp_path / folder, symlinks=True)
        (tmp_path / folder).mkdir(exist_ok=True)
        run = wandb_run.start(tmp_path / folder, project="p", mode="auto", tags=[], config={})
        assert not run.offline
        for epoch in epochs:
            wandb_run.log_row(run, {"epoch": epoch, "train/loss": 1 / epoch})
        assert wandb_run.finish(run, results, stopped=results is None) is None
        wandb.teardown()  # another process
    assert len(server.runs) == before + 1
    run = server.runs[(tmp_path / "there/wandb/id").read_text()]
    assert run.epochs == [1, 2, 3, 4, 5]
    assert [row["train/loss"] for row in run.history] == [1 / epoch for epoch in (1, 2, 3, 4, 5)]
    assert run.exit_code == 0
    assert run.summary["test/top1_error"] == 0.1


@pytest.mark.process
def test_a_key_that_the_server_refuses_records_offline(tmp_path, monkeypatch, with_account):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with pytest.warns(UserWarning, match="W&B did not start") as told:
        run = wandb_run.start(tmp_path, project="p", mode="online", tags=[], config={})
    assert run.offline
    assert "0" * 40 not in str(told[0].message)
    assert "wandb sync" in wandb_run.finish(run, {})


@pytest.mark.run
def test_a_server_that_goes_away_costs_no_run(tmp_path):
    """W&B's client sends every 15 s. The run is held still until the first rows have come, and then goes on alone."""
    metrics = tmp_path / "run/metrics.csv"
    with WandbServer(goes_after=2) as server:
        words = [UNDRAWN, f"hydra.run.dir={tmp_path / 'run'}", "trainer.max_epochs=60"]
        process = start_command(*words, **server.environment, WANDB_FINISH_TIMEOUT="2")
        while not (metrics.exists() and metrics.read_text().count("\n") > 3) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        try:
            assert server.gone.wait(60), "no rows came"
        finally:
            process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    (partly,) = server.runs.values()
    assert 2 <= len(partly.history) < 60
    assert partly.exit_code is None
    with WandbServer() as another:
        synchronise(out, another)
    (whole,) = another.runs.values()
    assert whole.epochs == list(range(1, 61))
    assert whole.exit_code == 0
    assert "test/top1_error" in whole.summary


@pytest.mark.run
def test_dashboards_name_what_runs_log(online, strengths, server):
    """Axes, metrics, groups and media of the workspace and the reports are names of rows, summaries, configurations."""
    printed = command("scripts/dashboard.py", "--print", HOME="/nonexistent")
    assert printed.returncode == 0, printed.stderr
    runs = server.runs.values()
    rows = {name for run in runs for row in run.history for name in row}
    fields = {name for run in runs for name in run.summary}
    options = {option for run in runs for option in paths_of(run.config)}
    experiments = {file.stem for file in (REPOSITORY / "conf/experiment").glob("*.yaml")}
    found = list(names_of(json.loads(printed.stdout)))
    assert {kind for kind, _ in found} == {"row", "summary", "config", "tag"}
    for kind, name in found:
        if kind == "config":
            assert name.replace(".value", "", 1) in options, name
        elif kind == "tag":
            assert name in experiments | {"moons", "circles", "linear"}, name
        else:
            assert name in (rows if kind == "row" else fields), f"{kind} {name}"


def paths_of(config: dict, before: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{before}{key}"
        if isinstance(value, dict):
            yield from paths_of(value, f"{before}{key}.")


def names_of(part: object) -> Iterator[tuple[str, str]]:
    """What of a run each part of a dashboard refers to: ("row" | "summary" | "config" | "tag", its name)."""
    if isinstance(part, list):
        for one in part:
            yield from names_of(one)
    if not isinstance(part, dict):
        return
    for key, value in part.items():
        names = value if isinstance(value, list) else [value]
        if key in ("xAxis", "yAxis", "metrics", "accessor", "mediaKeys") and value != "_step":
            yield from (kind_and_name(name) for name in names)
        elif key == "columnPinned":
            yield from (kind_and_name(name) for name in value if not name.startswith("run:"))
        elif key == "groupBy":
            yield "config", value
        elif key == "grouping":
            yield from ((one["section"], one["name"]) for one in value)
        elif key == "filters" and isinstance(value, list):
            yield from (("tag", tag) for one in value if one["key"]["name"] == "tags" for tag in one["value"])
        else:
            yield from names_of(value)


def kind_and_name(name: str) -> tuple[str, str]:
    for prefix, kind in (("summary:", "summary"), ("summary_metrics.", "summary"), ("config:", "config")):
        if name.startswith(prefix):
            return kind, name.removeprefix(prefix)
    return "row", name


@pytest.mark.run
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of wandb-workspaces itself
def test_dashboards_are_made_once_and_then_brought_up_to_date(capsys):
    with WandbServer() as server:
        for _ in range(2):
            done = command("scripts/dashboard.py", "project=lectures", **server.environment)
            assert done.returncode == 0, done.stderr
            assert KEY not in done.stdout + done.stderr
    dashboard(["--print", "project=lectures", f"entity={ENTITY}"])
    printed = json.loads(capsys.readouterr().out)
    assert server.projects == {"lectures"}
    titles = ["How strong a regulariser", "ReLU against tanh", "What each trick is worth", "TrainLab"]
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == titles
    assert [view["displayName"] for view in server.views.values()] == titles, "no second one"
    sent = [given for name, given in server.asked if name in ("upsertView", "UpsertView2")]
    assert [given.get("id") for given in sent] == [None] * 4 + list(server.views)
    for given, again in zip(sent[:4], sent[4:], strict=True):
        assert given["name"] == again["name"]
        (shown,) = [one for one in printed if one["displayName"] == given["displayName"]]
        assert json.loads(given["spec"]) == json.loads(again["spec"]) == shown["spec"]
