"""What is not used is not imported, and comes when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEFT_OUT = (
    *("torchvision", "torchmetrics.functional", "scipy.signal", "torch._dynamo", "torch._inductor"),
    "torch.utils.flop_counter",
)
LAUNCH = ("wandb.sdk.launch", "wandb.apis.public", "pandas")
LEAN = "from trainlab.runtime.lean_imports import import_lightning; import_lightning(); "


def python(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(code: str, names: tuple[str, ...]) -> set[str]:
    return set(python(f"{code}\nimport sys; print(*(m for m in {names!r} if m in sys.modules))").split())


@pytest.mark.run
def test_lightning_comes_without_what_no_run_uses():
    step = (
        "import torch, trainlab.training; from trainlab.optim import Momentum, make_optimizer; "
        "net = torch.nn.Linear(2, 2); "
        "o = make_optimizer(net, Momentum, lr=0.1, momentum=0.9); net(torch.ones(1, 2)).sum().backward(); o.step()"
    )
    assert loaded(LEAN + step, LEFT_OUT) == set()
    # the test can fail: as it comes, Lightning brings them
    assert {"torchvision", "scipy.signal", "torch._dynamo"} <= loaded("import lightning", LEFT_OUT)


@pytest.mark.run
def test_what_was_left_out_is_there_when_it_is_asked_for():
    asked = (
        "import torch, torchmetrics; from torchmetrics.classification import MulticlassAccuracy; "
        "a = torchmetrics.Accuracy(task='multiclass', num_classes=3); "
        "print(float(a(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 1])))); "
        "f = torch.compile(lambda x: x + 1, backend='eager'); print(float(f(torch.ones(())))); "
        "import torchvision; print(torchmetrics.Metric is torchmetrics.metric.Metric); "
        "from lightning.pytorch.utilities.model_summary import model_summary; "
        "counter = model_summary.FlopCounterMode(display=False); "
        "exec('with counter: torch.ones(2, 3) @ torch.ones(3, 4)'); print(counter.get_total_flops())"
    )
    assert python(LEAN + asked).split() == ["0.75", "2.0", "True", str(2 * 2 * 3 * 4)]


@pytest.mark.run
def test_a_report_of_runs_needs_no_torch():
    assert (
        loaded("import trainlab.sweeps.report, trainlab.recording.terminal", ("torch", "lightning", "sklearn", "wandb"))
        == set()
    )


@pytest.mark.run
def test_a_wandb_run_starts_without_what_launches_jobs_and_that_works_afterwards(tmp_path):
    start = (
        "from pathlib import Path; from trainlab.models.summary import LayerSummary; "
        "from trainlab.recording import wandb_run; "
        f"run = wandb_run.start(Path({str(tmp_path)!r}), project='p', mode='offline', tags=[], config={{}}); "
        "wandb_run.log_layers(run, [LayerSummary('a', '', 1, (1,), 1, 1, 1, 1, None)]); "
    )
    after = "from wandb.sdk.launch.inputs.internal import StagedLaunchInputs as staged; import wandb.sdk.launch; "
    after += "assert staged().apply.__module__ == staged.__module__ and wandb.sdk.launch.launch; run.finish()"
    assert loaded(start, LAUNCH) == set()
    assert {"wandb.sdk.launch"} <= loaded(start + after, LAUNCH)
