"""Captured steps beside ordinary ones. Where there is no GPU, a rehearsal stands for its graph: it does the work again
with Python's numbers as they were at the capture, so that what changes must have been put into the memory."""

from __future__ import annotations

import contextlib
import itertools

import pytest
import torch
from whole_runs import bare_trainer

from trainlab.benchmark.job import job
from trainlab.captured_step import WARM_UP, CapturedStep, CudaGraphs
from trainlab.classifier import Classifier
from trainlab.models.mlp import MLP
from trainlab.objective import L2, CrossEntropy
from trainlab.optim import optimiser, schedule

STEPS, FEATURES, CLASSES = 120, 6, 3


class Rehearsal:
    """On a CPU, in the place of `CudaGraphs`."""

    def __init__(self, optimizer):
        self.optimizer, self.captures = optimizer, 0

    def beside(self):
        return contextlib.nullcontext()

    def capture(self, work):
        self.captures += 1
        groups = self.optimizer.param_groups
        then = [{key: group[key] for key in group if key != "params"} for group in groups]
        tensors = [p for group in groups for p in group["params"]]
        tensors += [state["momentum_buffer"] for state in self.optimizer.state.values() if state]
        before, stream = [t.detach().clone() for t in tensors], torch.get_rng_state()
        made = work()
        torch.set_rng_state(stream)
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)

        def replay():
            now = [dict(group) for group in groups]
            for group, old in zip(groups, then, strict=True):
                group.update(old)
            try:
                for fixed, new in zip(made, work(), strict=True):
                    fixed.copy_(new)
            finally:
                for group, current in zip(groups, now, strict=True):
                    group.update(current)

        return made, replay


def trained(captured: bool, device: str = "cpu", **options) -> tuple[list[float], torch.Tensor]:
    """Losses and weights of steps with a changing rate, every seventh on a smaller batch."""
    torch.manual_seed(0)
    net = MLP((FEATURES,), CLASSES, hidden=(8,), dropout=0.5).to(device)
    optimizer = optimiser(net, lr=0.1, l2_coefficient=0.01, **options)
    scheduler = schedule("cosine", optimizer, STEPS)
    loss = CrossEntropy()
    graphs = CudaGraphs() if device == "cuda" else Rehearsal(optimizer)
    step = CapturedStep(net, loss, optimizer, graphs)
    draws = torch.Generator().manual_seed(1)
    losses = []
    for number in range(STEPS):
        count = 5 if number % 7 == 6 else 16
        inputs = torch.randn(count, FEATURES, generator=draws).to(device)
        labels = inputs[:, :CLASSES].argmax(1)
        if captured and count == 16:
            outputs, value = step(inputs, labels, optimizer.step)
            assert outputs.shape == (16, CLASSES)
            assert torch.isclose(loss(outputs, labels), value)  # of this batch, and of the masks of this step
        else:
            value, outputs = step.gradients(inputs, labels)[1], None
            optimizer.step()
        scheduler.step()
        losses.append(float(value))
        assert outputs is None or not outputs.requires_grad
    if captured and device == "cpu":
        assert graphs.captures == 1
    return losses, torch.cat([p.detach().flatten().cpu() for p in net.parameters()])


@pytest.mark.parametrize("device", ["cpu", *["cuda"] * torch.cuda.is_available()])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "bias_lr": 0.2}])
def test_captured_steps_are_the_same_steps(options, device):
    (losses, weights), (expected, theirs) = (trained(captured, device, **options) for captured in (True, False))
    assert losses == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(weights, theirs, rtol=1e-5, atol=1e-6)
    assert losses[-1] < losses[0]


def test_a_rate_that_was_not_put_into_the_memory_would_be_noticed(monkeypatch):
    """The rehearsal is a test only if it can fail."""
    expected, _ = trained(captured=True, momentum=0.9)
    monkeypatch.setattr(CapturedStep, "set_rates", lambda self: None)
    assert trained(captured=True, momentum=0.9)[0] != pytest.approx(expected, rel=1e-5)


def test_what_a_step_returns_outlives_the_next():
    net = MLP((FEATURES,), CLASSES, hidden=(8,))
    optimizer = optimiser(net, lr=0.1)
    step = CapturedStep(net, CrossEntropy(), optimizer, Rehearsal(optimizer))
    kept, copies = [], []
    for _ in range(WARM_UP + 3):
        found = step(torch.randn(4, FEATURES), torch.tensor([0, 1, 2, 0]), optimizer.step)
        kept.append(found)
        copies.append(tuple(part.clone() for part in found))
    for found, copy in zip(kept, copies, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found, copy, strict=True))
    assert all(not torch.equal(a[1], b[1]) for a, b in itertools.pairwise(kept))


@pytest.mark.slow
@pytest.mark.parametrize("together", [1, 4])
def test_a_run_counts_captured_steps_as_its_own(tmp_path, together):
    weights, losses = [], []
    for captured in (False, True):
        options = ["data=digits", "model=mlp", "reg=dropout", "optim=momentum", "optim.schedule=cosine", "trainer=cpu"]
        this = job(options)
        this.data.together = together
        graphs = Rehearsal(None) if captured else None

        def make(net, this=this, graphs=graphs):
            made = this.optimiser()
            if graphs is not None:
                graphs.optimizer = made
            return made

        classifier = Classifier(this.net, this.loss, L2(examples=1), make, classes=10, schedule="cosine", graphs=graphs)
        trainer = bare_trainer(tmp_path, max_epochs=3)
        trainer.fit(classifier, this.data)
        assert trainer.global_step == 3 * this.data.train_batches
        weights.append(torch.cat([w.detach().flatten() for w in this.net.parameters()]))
        losses.append(classifier.row["train/loss"])
        assert graphs is None or graphs.captures == 1
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
