"""The usual stack: Lightning, DataLoader workers, torchvision's transforms image by image, torchmetrics each step.

As the best-known template of Lightning and Hydra does it: a metric and a mean loss updated and logged in each step, a
progress bar, a CSV logger. The network, the batches and the optimizer's rule are those of the other sides; what a
template leaves at its default (float32, the memory order, the optimizer's implementation) is left there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy
from torchvision import transforms

from benchmarks.job import Job, job
from benchmarks.pace import Pace, Paced
from trainlab.data.image_set import ImageSet


class Pictures(Dataset[tuple[Tensor, int]]):
    """A data set such as torchvision's: an array in memory, whose items become PIL pictures and are transformed."""

    def __init__(self, images: ImageSet, transform: Any) -> None:
        pixels = images.all_images.permute(0, 2, 3, 1)
        self.pixels = (pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).numpy()
        self.labels, self.transform = images.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


class Template(L.LightningModule):
    """The LightningModule of the template: cross-entropy, and two metrics that are updated and logged in each step."""

    def __init__(self, net: nn.Module, this: Job) -> None:
        super().__init__()
        self.net, self.job = net, this
        self.criterion = nn.CrossEntropyLoss()
        self.train_acc = MulticlassAccuracy(len(this.data.classes), average="micro")
        self.train_loss = MeanMetric()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of one batch, a scalar; Lightning does the rest."""
        images, labels = batch
        outputs = self.net(images)
        loss = self.criterion(outputs, labels)
        self.train_loss(loss)
        self.train_acc(outputs.argmax(1), labels)
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("train/acc", self.train_acc, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """torch's SGD with the learning rate, momentum and weight decay of the other sides."""
        known = self.job.optimizer().defaults
        groups = self.job.optimizer().param_groups
        return torch.optim.SGD(
            [{"params": g["params"], "weight_decay": g["weight_decay"]} for g in groups],
            lr=known["lr"],
            momentum=known["momentum"],
        )


def run(overrides: list[str], pace: Pace, folder: Path) -> None:
    """Train with the template as it comes, in float32."""
    train_with([*overrides, "trainer.precision=float32"], pace, folder)


def train_with(overrides: list[str], pace: Pace, folder: Path) -> None:
    """Train the job of these overrides with the usual stack, in the blocks that `pace` asks for; its CSV log is written
    to `folder`.
    """
    this = job(overrides)
    pace.synchronise, pace.memory = this.synchronise, this.memory() or pace.memory
    side = this.data.input_shape[-1]
    augment = [transforms.RandomCrop(side, padding=4), transforms.RandomHorizontalFlip()]
    known = augment if this.cfg.aug.name == "crop_flip" else []
    mean = this.data.mean or []
    transform = transforms.Compose([*known, transforms.ToTensor(), transforms.Normalize(mean, [1.0] * len(mean))])
    loader = DataLoader(
        Pictures(this.data.sets.train, transform),
        batch_size=this.batch_size,
        shuffle=True,
        num_workers=workers(),
        pin_memory=this.device.type == "cuda",
    )
    trainer = L.Trainer(
        accelerator=this.hardware.accelerator,
        devices=1,
        precision=this.hardware.precision,
        max_epochs=100_000,
        logger=CSVLogger(folder),
        callbacks=[RichProgressBar(), Paced(pace)],
        enable_checkpointing=False,
    )
    trainer.fit(Template(this.net.to(memory_format=torch.contiguous_format), this), loader)


def workers() -> int:
    """One for each core, as people set it, and not more than torchvision's 16."""
    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
