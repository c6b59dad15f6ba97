"""What is timed: the command, who does it, in how many steps, and what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.tricks.catalogue import OURS, STEP_TRICKS

LIMIT = "limit"


@dataclass(frozen=True)
class Workload:
    """One training that is timed. sides: the implementations that do it, this project first.

    steps, rounds: of a block, and blocks, in the quick benchmark and in the whole one. left_out: sides that the quick
    one has no time for. targets: by side, the least ratio of this project's images/s to that side's.
    """

    name: str
    title: str
    overrides: tuple[str, ...]
    sides: tuple[str, ...]
    steps: tuple[int, int]
    targets: dict[str, float] = field(default_factory=dict)
    rounds: tuple[int, int] = (3, 7)
    left_out: tuple[str, ...] = ()


IMPLEMENTATIONS = {
    OURS: ("benchmarks.this_project", "python train.py, metrics, bar, W&B offline"),
    LIMIT: ("benchmarks.bare_loop", "bare PyTorch loop, data on the device: the limit"),
    "usual": ("benchmarks.usual_stack", "usual stack as it comes: Lightning, DataLoader, float32"),
    "usual-same": ("benchmarks.usual_stack_same_precision", "usual stack in this precision"),
    "torchvision": ("benchmarks.torchvision_reference", "torchvision's reference recipe, JPEG files, float32"),
    "scikit-learn": ("benchmarks.scikit_learn", "scikit-learn's MLPClassifier"),
}
IMPLEMENTATIONS |= {
    trick.name: (f"benchmarks.tricks.within_step:{trick.name}", f"without: {trick.what}") for trick in STEP_TRICKS
}

WORKLOADS = (
    Workload(
        "mlp",
        "MLP 784-256-256-10 on Fashion-MNIST, batch 128",
        ("model=mlp", "data=fashion_mnist"),
        (OURS, LIMIT, "usual", "scikit-learn"),
        (100, 400),
        {LIMIT: 1 / 1.4, "usual": 6.0},
    ),
    Workload(
        "convnet",
        "convnet on CIFAR-10, aug=crop_flip, batch 128",
        ("model=convnet", "data=cifar10"),
        (OURS, LIMIT, "usual", "usual-same"),
        (20, 60),
        {LIMIT: 0.95, "usual": 3.5},
        left_out=("usual-same",),
    ),
    Workload(
        "alexnet",
        "AlexNet at 224 pixels from a packed set, aug=alexnet, batch 128",
        ("model=alexnet", "data=imagenet", "aug=alexnet", "data.batch_size=128"),
        (OURS, LIMIT, "torchvision"),
        (1, 5),
        {LIMIT: 0.95, "torchvision": 1.8},
        rounds=(2, 5),
    ),
)
# For single tricks: steps so small that what is done around them shows most, and AlexNet's in small batches
OF_TRICKS = (
    Workload("perceptron", "perceptron on Fashion-MNIST", ("model=perceptron", "data=fashion_mnist"), (OURS,), (1, 1)),
    Workload("perceptron_cifar10", "perceptron on CIFAR-10", ("model=perceptron", "data=cifar10"), (OURS,), (1, 1)),
    Workload(
        "alexnet_32",
        "AlexNet at 224 pixels from a packed set, aug=alexnet, batch 32",
        ("model=alexnet", "data=imagenet", "aug=alexnet", "data.batch_size=32"),
        (OURS,),
        (1, 1),
    ),
)
