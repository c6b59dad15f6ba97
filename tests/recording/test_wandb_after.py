"""The points of a stack, recorded with W&B once they are trained."""

from __future__ import annotations

import pytest
from wandb_server import WandbServer
from whole_runs import UNDRAWN, Run, command

SMALL = ("model=mlp", "model.hidden=[8]", "trainer=cpu", "trainer.threads=1")


@pytest.mark.process
def test_wandb_online_gets_each_point_as_its_own_run_would_send_it(tmp_path):
    words = (*SMALL, "loss=half_mse", "reg.l2=0.01,1e9", "seed=0", "data=moons", "trainer.max_epochs=4")
    with WandbServer() as server:
        done = command(
            UNDRAWN, "-m", "hydra/launcher=stacked", f"hydra.sweep.dir={tmp_path}", *words, **server.environment
        )
        assert done.returncode == 1, done.stdout + done.stderr
        good, bad = (server.runs[file.read_text()] for file in sorted(tmp_path.glob("*/wandb/id")))
    assert "wandb sync" not in done.stdout, "there is nothing left to upload"
    assert (good.exit_code, bad.exit_code) == (0, 1)
    for point, strength in ((good, 0.01), (bad, 1e9)):
        assert point.config["reg.l2"] == strength
        assert point.fields["groupName"] == tmp_path.name
        assert point.fields["jobType"] == "sweep"
    (path,) = tmp_path.glob("reg.l2-0.01*/results.json")
    run = Run(0, "", "", path.parent)
    assert good.epochs == [row["epoch"] for row in run.rows] == [1, 2, 3, 4]
    assert good.summary["test/top1_error"] == run.results["test/top1_error"]
    assert any("layers" in row for row in good.history)
    (row,) = [row for row in good.history if "swept/reg_l2" in row]
    assert row["swept/reg_l2"] == 0.01
