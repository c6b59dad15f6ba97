"""torchvision's reference recipe for AlexNet: JPEG files, a DataLoader, its transforms, its metrics, float32.

As references/classification/train.py of torchvision's repository does it with `--model alexnet --lr 1e-2`, with the
network, the batches and the optimizer's rule of the other sides. The files are already of 256×256 pixels, which is kind
to it: ImageNet's are four times as large.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.job import job
from benchmarks.pace import Pace
from benchmarks.usual_stack import workers
from trainlab.optim import train_step

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # the recipe's own


def run(overrides: list[str], pace: Pace, folder: Path) -> None:
    """The JPEG files lie beside the packed set, in `jpeg`."""
    this = job([*overrides, "trainer.precision=float32", "trainer.channels_last=false"])
    pace.synchronise, pace.memory = this.synchronise, this.memory() or pace.memory
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(this.data.input_shape[-1], antialias=True),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float),
            transforms.Normalize(MEAN, DEVIATION),
        ]
    )
    loader = DataLoader(
        ImageFolder(str(Path(this.cfg.data.root).parent / "jpeg" / "train"), transform),
        batch_size=this.batch_size,
        shuffle=True,
        num_workers=workers(),
        pin_memory=this.device.type == "cuda",
    )
    net, loss = this.net, nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        [{"params": g["params"], "weight_decay": g["weight_decay"]} for g in this.optimizer().param_groups],
        lr=this.cfg.optim.lr,
        momentum=0.9,
    )
    pace.wait()
    while True:
        for images, labels in loader:
            images, labels = images.to(this.device, non_blocking=True), labels.to(this.device, non_blocking=True)
            outputs, error = train_step(net, loss, optimizer, images, labels)
            accuracy(outputs, labels)
            error.item()
            pace.step(len(labels))


def accuracy(outputs: Tensor, labels: Tensor) -> list[float]:
    """Top-1 and top-5 of a batch, read from the device in each step."""
    with torch.inference_mode():
        k = min(5, outputs.shape[1])
        right = outputs.topk(k, dim=1).indices == labels[:, None]
        return [100 * right[:, :n].float().sum().item() / len(labels) for n in (1, k)]
