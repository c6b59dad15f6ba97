"""The LightningModule: a network, its objective, its optimiser and its errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from trainlab.augment import CENTRE_VIEW
from trainlab.captured_step import CapturedStep, Graphs
from trainlab.checkpoint import KEY, Facts, Progress
from trainlab.data.batches import Batch
from trainlab.errors import RunError
from trainlab.metrics import Errors
from trainlab.objective import L2, Loss, weights_and_biases
from trainlab.optim import GradientDescent
from trainlab.optim import schedule as make_schedule
from trainlab.profiling import untimed


@dataclass(frozen=True)
class Predictions:
    """What the network said of each test example, in the order of the set. int64, int64 and float32 (N,)."""

    labels: Tensor
    predicted: Tensor
    confidence: Tensor


class Classifier(L.LightningModule):
    """Trains `net` on J = loss + L2 and counts its mistakes.

    optimiser: given the network, the torch optimiser (the gradient of L2 is part of its step).
    plateau_patience, plateau_drops: of the schedule "plateau"; after so many drops of the learning rate the next stall
    ends the run. freeze_first_after: the first layer stays as it is after so many epochs.
    views: how many views of an image the data module serves at test time. The scores of all are averaged, and
    the centre alone is the "one view" beside them.
    facts: what goes into the checkpoints besides the weights.
    timed: `with timed(part):` stands around each part of a training step.
    compiled: the network for whole training batches, made by torch.compile.
    graphs: in which the steps on whole training batches are captured; None for steps as they are. Nothing can look
    into such a step: hooks before the optimiser's update find the gradients of another.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        l2: L2,
        optimiser: Callable[[nn.Module], GradientDescent],
        *,
        classes: int,
        schedule: str = "constant",
        plateau_patience: int = 5,
        plateau_drops: int | None = None,
        freeze_first_after: int | None = None,
        monitor: str = "val/top1_error",
        views: int = 1,
        seed: int = 0,
        facts: Facts | None = None,
        timed: Callable[[str], AbstractContextManager[Any]] = untimed,
        compiled: Callable[[Tensor], Tensor] | None = None,
        graphs: Graphs | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # the step is written out below; Lightning's own costs a small net 0.2 ms
        self.net, self.loss, self.l2 = net, loss, l2
        self.make_optimiser, self.schedule, self.monitor = optimiser, schedule, monitor
        self.plateau_patience, self.plateau_drops = plateau_patience, plateau_drops
        self.freeze_first_after = freeze_first_after
        self.views, self.seed, self.facts, self.timed, self.compiled = views, seed, facts, timed, compiled
        self.graphs = graphs
        self.captured: CapturedStep | None = None
        self.errors = nn.ModuleDict({f"on_{name}": Errors(classes) for name in ("train", "val", "test", "tencrop")})
        self.validation: dict[str, Tensor] = {}
        self.row: dict[str, float] = {}  # the epoch's values by their names, for every log
        self.scheduler: LRScheduler | None = None  # stepped after each batch
        self.plateau: ReduceLROnPlateau | None = None
        self.plateau_state: dict[str, Any] | None = None
        self.batches_done = 0  # of this epoch
        self.epoch_ends = False  # whether the last of them are under way
        self.within_epoch: dict[str, Any] | None = None  # what a checkpoint from within an epoch restores
        self.test_parts: list[tuple[Tensor, ...]] = []
        self.predictions: Predictions | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the name of every hook it calls, and torch would look each time whether it is a parameter.
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.make_optimiser(self.net)
        if self.graphs is not None:
            self.captured = CapturedStep(self.net, self.loss, optimizer, self.graphs)
        steps = (self.trainer.max_epochs or 0) * self.trainer.datamodule.train_batches  # type: ignore[attr-defined]
        scheduler = make_schedule(self.schedule, optimizer, steps, self.plateau_patience)
        if scheduler is None:
            return optimizer
        if isinstance(scheduler, ReduceLROnPlateau):
            # Stepped below, before the checkpoint is written: Lightning would step it after, and lose that step.
            self.plateau = scheduler
            if self.plateau_state is not None:
                scheduler.load_state_dict(self.plateau_state)
            return optimizer
        self.scheduler = scheduler
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net(inputs)

    # Training

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        # Dropout draws from torch's global stream; started anew in each epoch, a resumed run draws what an unbroken
        # one does. (Lightning leaves on_train_epoch_start out in the first epoch after a resumption.)
        if self.within_epoch is not None:
            self.go_on_within_epoch(self.within_epoch)
        elif batch_index == 0:
            self.batches_done = 0
            self.start_stream(self.seed, self.current_epoch, self.global_rank)
        self.within_epoch = None
        self.epoch_ends = batch_index + 1 == self.trainer.num_training_batches

    def start_stream(self, *key: int) -> None:
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))

    def go_on_within_epoch(self, state: dict[str, Any]) -> None:
        """The epoch's sums so far, and each rank's stream; with another number of ranks, new streams."""
        if self.global_rank == 0:
            self.meter("train").go_on_from(state["sums"])
        if len(state["streams"]) == self.trainer.world_size:
            stream = state["streams"][self.global_rank]
            torch.set_rng_state(stream["cpu"])
            if "cuda" in stream and self.device.type == "cuda":
                torch.cuda.set_rng_state(stream["cuda"], self.device)
        else:
            self.start_stream(self.seed, self.current_epoch, self.global_rank, self.batches_done)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The steps of gradient descent on a batch, or on several one after another; returns their losses."""
        parts = zip(batch.inputs.split(batch.step_size), batch.labels.split(batch.step_size), strict=True)
        return torch.stack([self.step(inputs, labels, batch) for inputs, labels in parts])

    def step(self, inputs: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """One step of gradient descent; returns the loss of before it."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        whole = len(inputs) == batch.step_size
        if self.captured is not None and whole:
            outputs, loss = self.captured(inputs, labels, optimizer.step)
            self.follow_schedule()
        else:
            outputs, loss = self.written_out(inputs, labels, batch, optimizer, whole)
        if batch.size:
            with self.timed("metrics"):
                self.meter("train").collect(outputs, labels, loss)
        self.batches_done += 1
        return loss

    def written_out(
        self, inputs: Tensor, labels: Tensor, batch: Batch, optimizer: LightningOptimizer, whole: bool
    ) -> tuple[Tensor, Tensor]:
        """The step as the lecture writes it; the outputs and the loss of before it, without gradients."""
        with self.timed("forward"):
            outputs = self.outputs(inputs, whole)
            loss = self.loss(outputs, labels)
        with self.timed("backward"):
            optimizer.zero_grad()
            if self.trainer.world_size == 1:
                loss.backward()
            else:
                # DDP averages the ranks' gradients; this makes it the mean over the global batch, however it was dealt
                # out.
                self.manual_backward(loss * (batch.size * self.trainer.world_size / batch.global_size))
        with self.timed("optimiser"):
            optimizer.step()
            self.follow_schedule()
        return outputs.detach(), loss.detach()

    def follow_schedule(self) -> None:
        if self.scheduler is not None:
            self.scheduler.step()

    def outputs(self, inputs: Tensor, whole: bool) -> Tensor:
        """float (B, K). The odd batch at the end of an epoch is not worth compiling for."""
        if self.compiled is None or not whole:
            return self.net(inputs)
        torch.compiler.cudagraph_mark_step_begin()
        return self.compiled(inputs).clone()  # a CUDA graph writes the next step's outputs into the same memory

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.freeze_first_after is not None and self.current_epoch >= self.freeze_first_after:
            first = next(m for m in self.net.modules() if isinstance(m, nn.Conv2d | nn.Linear))
            for parameter in first.parameters():
                parameter.grad = None  # the optimiser passes over it, L2 and momentum included

    def on_train_epoch_end(self) -> None:
        values = self.finish("train")
        weights = weights_and_biases(self.net)[0]
        values["train/objective"] = values["train/loss"] + self.l2.penalty(weights)
        size = torch.stack([w.detach().square().sum() for w in weights])
        losses = torch.stack([v for name, v in (values | self.validation).items() if not name.endswith("_error")])
        if not torch.isfinite(losses).all() or not torch.isfinite(size).all():
            raise diverged(self.current_epoch, self.trainer)
        self.log_dict(values, logger=False)
        self.row = {name: float(value) for name, value in (values | self.validation).items()}
        self.row["weight_norm"] = float(size.sum().sqrt())
        self.row["lr"] = self.trainer.optimizers[0].param_groups[0]["lr"]
        if self.plateau is not None and self.monitor in self.row:
            self.plateau.step(self.row[self.monitor])
            if self.plateau_drops is not None and self.drops_so_far() > self.plateau_drops:
                self.trainer.should_stop = True
        self.validation = {}

    def drops_so_far(self) -> int:
        """How often the plateau has divided the learning rate by ten; told from the rate, which a resumed run has."""
        optimizer = self.trainer.optimizers[0]
        return round(math.log10(optimizer.defaults["lr"] / optimizer.param_groups[0]["lr"]))

    # Validation and test

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        outputs = self.net(batch.inputs)
        self.meter("val").update(outputs, batch.labels, self.loss(outputs, batch.labels))

    def on_validation_epoch_end(self) -> None:
        # Kept for the epoch's row; early stopping, schedules and checkpoints look at what is logged.
        self.validation = self.finish("val")
        self.log_dict(self.validation, logger=False)

    def on_test_epoch_start(self) -> None:
        self.test_parts = []

    def test_step(self, batch: Batch, batch_index: int) -> None:
        views = batch.inputs if batch.inputs.ndim == 5 else batch.inputs[None]
        outputs = torch.stack([self.net(view) for view in views])
        centre = outputs[CENTRE_VIEW if len(views) > 1 else 0]
        self.meter("test").update(centre, batch.labels, self.loss(centre, batch.labels))
        scores = self.loss.scores(outputs).mean(0)
        if len(views) > 1:
            self.meter("tencrop").update(scores, batch.labels, self.loss.of_scores(scores, batch.labels))
        confidence, predicted = scores.max(1)
        self.test_parts.append((batch.ids, batch.labels, predicted, confidence))

    def on_test_epoch_end(self) -> None:
        row = self.finish("test")
        if self.views > 1:
            row |= {f"{name.replace('tencrop', 'test')}_tencrop": v for name, v in self.finish("tencrop").items()}
        self.log_dict(row, logger=False)
        parts = [tuple(column.cpu() for column in part) for part in self.test_parts]
        parts = [part for rank in self.gather(parts) for part in rank]
        ids, labels, predicted, confidence = (torch.cat(column) for column in zip(*parts, strict=True))
        order = ids.argsort()
        assert torch.equal(ids[order], torch.arange(len(ids))), "a test example was counted twice or not at all"
        self.predictions = Predictions(labels[order], predicted[order], confidence[order])

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.facts is not None:
            checkpoint[KEY] = self.facts.plain()
        if self.plateau is not None:
            checkpoint["plateau"] = self.plateau.state_dict()
        ends = self.epoch_ends
        checkpoint["progress"] = Progress(
            self.current_epoch + ends, 0 if ends else self.batches_done, ended=ends and self.trainer.should_stop
        ).plain()
        if not ends:
            stream = {"cpu": torch.get_rng_state()}
            if self.device.type == "cuda":
                stream["cuda"] = torch.cuda.get_rng_state(self.device)
            checkpoint["within_epoch"] = {"sums": self.meter("train").sums(), "streams": self.gather(stream)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.plateau_state = checkpoint.get("plateau")
        self.within_epoch = checkpoint.get("within_epoch")
        if self.within_epoch is not None:
            # Lightning counts what its loader gives out, and another run may have put more batches together.
            self.batches_done = checkpoint["progress"]["batches"]
            given_out = self.batches_done // self.trainer.datamodule.together  # type: ignore[attr-defined]
            count = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
            count.update(ready=given_out, started=given_out, processed=given_out, completed=given_out - 1)

    def gather(self, mine: Any) -> list[Any]:
        """The ranks' objects, in their order: a collective call."""
        if self.trainer.world_size == 1:
            return [mine]
        gathered: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(gathered, mine)
        return gathered

    # Errors

    def meter(self, name: str) -> Errors:
        return self.errors[f"on_{name}"]  # type: ignore[return-value]

    def finish(self, name: str) -> dict[str, Tensor]:
        """The epoch's values as name/loss, name/top1_error, …; the sums start again."""
        meter = self.meter(name)
        meter.settle()
        values = {f"{name}/{key}": value for key, value in meter.compute().items()}
        meter.reset()
        return values


def diverged(epoch: int, trainer: L.Trainer) -> RunError:
    lr = trainer.optimizers[0].param_groups[0]["lr"]
    return RunError(
        f"the loss became infinite or not a number in epoch {epoch + 1} with a learning rate of {lr:g}; "
        f"try a smaller one, such as optim.lr={lr / 10:g}."
    )
