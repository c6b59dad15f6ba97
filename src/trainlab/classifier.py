"""The LightningModule: a network, its objective, its optimizer and its errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from trainlab.augment import CENTRE_VIEW
from trainlab.data.batches import Batch
from trainlab.errors import RunError
from trainlab.metrics import ClassificationMetrics
from trainlab.objective import L2, Loss, weights_and_biases
from trainlab.optim import CONSTANT, Schedule, train_step
from trainlab.runtime.profiling import untimed
from trainlab.survival.checkpoint import KEY, Progress, RunMetadata


@dataclass(frozen=True)
class Predictions:
    """What the network predicted for each test example, in the order of the set. labels, predicted: int64 (N,), true
    and predicted classes. confidence: float32 (N,), the prediction of that class.
    """

    labels: Tensor
    predicted: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. A network that is only tested needs none.

    l2: the penalty on the weights. optimizer: given the network, makes the torch optimizer (the gradient of L2 is
    part of its step). schedule: of the learning rate. freeze_first_after: epochs after which the first layer stays as
    it is. monitor: the value of the epoch's row that the schedule "plateau" watches. facts: what goes into the
    checkpoints besides the weights. timed: a context manager for each part of a training step. compiled: the network
    for whole training batches, made by torch.compile.
    """

    l2: L2
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    schedule: Schedule = CONSTANT
    freeze_first_after: int | None = None
    monitor: str = "val/top1_error"
    facts: RunMetadata | None = None
    timed: Callable[[str], AbstractContextManager[Any]] = untimed
    compiled: Callable[[Tensor], Tensor] | None = None


class Classifier(L.LightningModule):
    """The LightningModule: trains `net` on J = loss + L2 and measures its errors.

    recipe: how it is trained; None for a network that is only tested. classes: how many. views: how many views of an
    image the data module serves at test time; their predictions are averaged, and the centre alone is the "one view"
    beside them. seed: of dropout's draws, which start anew in each epoch.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        recipe: Recipe | None = None,
        *,
        classes: int,
        views: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # the step is written out; Lightning's own takes 0.3 ms of CPU time more
        self.net, self.loss, self._recipe = net, loss, recipe
        self.views, self.seed = views, seed
        self.metrics = nn.ModuleDict(
            {f"on_{name}": ClassificationMetrics(classes) for name in ("train", "val", "test", "tencrop")}
        )
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

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer of the recipe, with its learning rate's schedule where it has one."""
        optimizer = self.recipe.optimizer(self.net)
        steps = (self.trainer.max_epochs or 0) * self.trainer.datamodule.train_batches  # type: ignore[attr-defined]
        scheduler = self.recipe.schedule.of(optimizer, steps)
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
        """Inputs, float (B, C, H, W) → the network's outputs, (B, K)."""
        return self.net(inputs)

    @property
    def recipe(self) -> Recipe:
        """How the network is trained; asserts that there is a recipe."""
        assert self._recipe is not None, "a classifier without a recipe can be tested, not trained"
        return self._recipe

    # Training

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """At an epoch's first batch, start its stream of random numbers; after a resumption, go on within the epoch."""
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
        """Seed torch's global generator, which dropout draws from, by these integers."""
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))

    def go_on_within_epoch(self, state: dict[str, Any]) -> None:
        """Restore a checkpoint from within an epoch: the epoch's sums so far, and each rank's generator. With another
        number of ranks the generators are seeded anew.
        """
        if self.global_rank == 0:
            self.metrics_of("train").load_sums(state["sums"])
        if len(state["streams"]) == self.trainer.world_size:
            stream = state["streams"][self.global_rank]
            torch.set_rng_state(stream["cpu"])
            if "cuda" in stream and self.device.type == "cuda":
                torch.cuda.set_rng_state(stream["cuda"], self.device)
        else:
            self.start_stream(self.seed, self.current_epoch, self.global_rank, self.batches_done)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """One step of gradient descent, or several one after another where the batch holds several; returns their
        losses, float (steps,).
        """
        parts = zip(batch.inputs.split(batch.step_size), batch.labels.split(batch.step_size), strict=True)
        return torch.stack([self.step(inputs, labels, batch) for inputs, labels in parts])

    def step(self, inputs: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """One step of gradient descent on one rank's part of a batch. inputs: (b, …); labels: int64 (b,). Returns the
        loss before the update, a scalar.
        """
        whole = len(inputs) == batch.step_size

        def global_mean(loss: Tensor) -> None:
            # DDP averages the ranks' gradients; this makes it the mean over the global batch, however it was dealt out.
            self.manual_backward(loss * (batch.size * self.trainer.world_size / batch.global_size))

        outputs, loss = train_step(
            partial(self.outputs, whole=whole),
            self.loss,
            self.optimizers(),
            inputs,
            labels,
            backward=Tensor.backward if self.trainer.world_size == 1 else global_mean,
            timed=self.recipe.timed,
        )
        if self.scheduler is not None:
            self.scheduler.step()
        if batch.size:
            with self.recipe.timed("metrics"):
                self.metrics_of("train").queue(outputs, labels, loss)
        self.batches_done += 1
        return loss

    def outputs(self, inputs: Tensor, whole: bool) -> Tensor:
        """The network's outputs, float (b, K). whole: whether the batch has its full size; the odd one at the end of
        an epoch is not worth compiling for.
        """
        if self.recipe.compiled is None or not whole:
            return self.net(inputs)
        torch.compiler.cudagraph_mark_step_begin()
        return self.recipe.compiled(inputs).clone()  # a CUDA graph writes the next step's outputs into the same memory

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the gradients away from the first layer once it is frozen."""
        after = self.recipe.freeze_first_after
        if after is not None and self.current_epoch >= after:
            first = next(m for m in self.net.modules() if isinstance(m, nn.Conv2d | nn.Linear))
            for parameter in first.parameters():
                parameter.grad = None  # the optimizer passes over it, L2 and momentum included

    def on_train_epoch_end(self) -> None:
        """Make the epoch's row of numbers, and let the plateau schedule see it. Raises RunError where a loss or a
        weight is not finite.
        """
        values = self.finish("train")
        weights = weights_and_biases(self.net)[0]
        values["train/objective"] = values["train/loss"] + self.recipe.l2.penalty(weights)
        size = torch.stack([w.detach().square().sum() for w in weights])
        losses = torch.stack([v for name, v in (values | self.validation).items() if not name.endswith("_error")])
        if not torch.isfinite(losses).all() or not torch.isfinite(size).all():
            raise diverged(self.current_epoch, self.trainer.optimizers[0].param_groups[0]["lr"])
        self.log_dict(values, logger=False)
        self.row = {name: float(value) for name, value in (values | self.validation).items()}
        self.row["weight_norm"] = float(size.sum().sqrt())
        self.row["lr"] = self.trainer.optimizers[0].param_groups[0]["lr"]
        if self.plateau is not None and self.recipe.monitor in self.row:
            self.plateau.step(self.row[self.recipe.monitor])
            if self.recipe.schedule.drops is not None and self.drops_so_far() > self.recipe.schedule.drops:
                self.trainer.should_stop = True
        self.validation = {}

    def drops_so_far(self) -> int:
        """How often the plateau has divided the learning rate by ten, told from the rate itself, which a resumed run
        has.
        """
        optimizer = self.trainer.optimizers[0]
        return round(math.log10(optimizer.defaults["lr"] / optimizer.param_groups[0]["lr"]))

    # Validation and test

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Count one batch for val/loss, val/top1_error and val/top5_error."""
        outputs = self.net(batch.inputs)
        self.metrics_of("val").update(outputs, batch.labels, self.loss(outputs, batch.labels))

    def on_validation_epoch_end(self) -> None:
        """Log the validation's numbers, and keep them for the epoch's row."""
        # Kept for the epoch's row; early stopping, schedules and checkpoints look at what is logged.
        self.validation = self.finish("val")
        self.log_dict(self.validation, logger=False)

    def on_test_epoch_start(self) -> None:
        """Begin with no predictions."""
        self.test_parts = []

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Count one batch by its centre view, and by the mean prediction of all views where there are several."""
        views = batch.inputs if batch.inputs.ndim == 5 else batch.inputs[None]
        outputs = torch.stack([self.net(view) for view in views])
        centre = outputs[CENTRE_VIEW if len(views) > 1 else 0]
        self.metrics_of("test").update(centre, batch.labels, self.loss(centre, batch.labels))
        averaged = self.loss.predict(outputs).mean(0)
        if len(views) > 1:
            self.metrics_of("tencrop").update(
                averaged, batch.labels, self.loss.from_predictions(averaged, batch.labels)
            )
        confidence, predicted = averaged.max(1)
        self.test_parts.append((batch.ids, batch.labels, predicted, confidence))

    def on_test_epoch_end(self) -> None:
        """Log the test's numbers, and gather the predictions of all ranks in the order of the examples."""
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
        """Add what a resumption needs beside Lightning's own: the run's facts, its progress, the plateau, and within an
        epoch its sums and random streams.
        """
        if self._recipe is not None and self._recipe.facts is not None:
            checkpoint[KEY] = self._recipe.facts.plain()
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
            checkpoint["within_epoch"] = {"sums": self.metrics_of("train").sums(), "streams": self.gather(stream)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what `on_save_checkpoint` has written, also under another number of steps per item of the loop."""
        self.plateau_state = checkpoint.get("plateau")
        self.within_epoch = checkpoint.get("within_epoch")
        if self.within_epoch is not None:
            # Lightning counts what its loader gives out, and another run may have put more batches together.
            self.batches_done = checkpoint["progress"]["batches"]
            given_out = self.batches_done // self.trainer.datamodule.steps_per_execution  # type: ignore[attr-defined]
            count = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
            count.update(ready=given_out, started=given_out, processed=given_out, completed=given_out - 1)

    def gather(self, mine: Any) -> list[Any]:
        """The objects of all ranks, in the order of the ranks. A collective call: every rank has to make it."""
        if self.trainer.world_size == 1:
            return [mine]
        gathered: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(gathered, mine)
        return gathered

    # Errors

    def metrics_of(self, name: str) -> ClassificationMetrics:
        """The sums of "train", "val", "test" or "tencrop" (the average over the test's views)."""
        return self.metrics[f"on_{name}"]  # type: ignore[return-value]

    def finish(self, name: str) -> dict[str, Tensor]:
        """The epoch's values, scalars by the names name/loss, name/top1_error, …; the sums start again from zero."""
        metrics = self.metrics_of(name)
        metrics.flush()
        values = {f"{name}/{key}": value for key, value in metrics.compute().items()}
        metrics.reset()
        return values


def diverged(epoch: int, lr: float) -> RunError:
    """The error for a loss that is infinite or not a number. epoch: counted from 0. lr: the learning rate."""
    return RunError(
        f"the loss became infinite or not a number in epoch {epoch + 1} with a learning rate of {lr:g}",
        hint=f"try a smaller one, such as optim.lr={lr / 10:g}",
    )
