"""A trained network from its checkpoint, ready to be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from trainlab.augment import Augmentation, ChannelStatistics
from trainlab.configuration.build import build
from trainlab.configuration.stored import options_of
from trainlab.errors import InputError
from trainlab.models.weight_budget import WeightBudget
from trainlab.objective import Loss
from trainlab.runtime.assembly import build_net, least_side
from trainlab.survival import checkpoint

SPARE, SPARE_VALUES = 2, 2**22  # a constructor may make a layer twice, and an example to measure sizes with


@dataclass(frozen=True)
class Trained:
    """A trained network, ready to be used. net: in evaluation mode, on the CPU. augmentation: makes the views, and
    has the mean that is subtracted; None for points.
    """

    saved: checkpoint.Saved
    cfg: DictConfig
    net: nn.Module
    loss: Loss
    augmentation: Augmentation | None

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of the outputs."""
        return self.saved.facts.classes

    @property
    def stored(self) -> int:
        """The side of the images that the augmentation takes, in pixels."""
        assert self.augmentation is not None
        return self.saved.facts.stored or self.augmentation.resize_to

    def probabilities(self, images: Tensor) -> Tensor:
        """The probability of each class, uint8 (B, C, S, S) → float32 (B, K), averaged over the views that the run
        tests with.

        With a loss that has no probabilities, such as half_mse, these are the network's outputs.
        """
        assert self.augmentation is not None
        with torch.inference_mode():
            views = self.augmentation.test_views(images)
            return torch.stack([self.loss.predict(self.net(view)) for view in views]).mean(0)

    def features(self, images: Tensor) -> Tensor:
        """What the last layer is given of the centre view (AlexNet's fc7): uint8 (B, C, S, S) → float32 (B, F)."""
        assert self.augmentation is not None
        last = [m for m in self.net.modules() if isinstance(m, nn.Linear)][-1]
        seen: list[Tensor] = []

        def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            seen.append(inputs[0].float())

        handle = last.register_forward_pre_hook(keep)
        try:
            with torch.inference_mode():
                self.net(self.augmentation.test(images))
        finally:
            handle.remove()
        return seen[0]


def network_of(saved: checkpoint.Saved, name: str) -> nn.Module:
    """The network of a checkpoint with its weights, on the CPU. name: what the user called the checkpoint. Raises
    InputError.
    """
    values = sum(weight.numel() for weight in saved.weights.values())
    too_large = InputError(
        f"ckpt={name} describes a larger network than it has weights for",
        option="ckpt",
        value=name,
        hint="it is damaged",
    )
    with options_of(f"ckpt={name}"), WeightBudget(SPARE * values + SPARE_VALUES, lambda: too_large):
        net = build_net(
            saved.config.model, tuple(saved.facts.input_shape), len(saved.facts.classes), weights_follow=True
        )
    checkpoint.load_weights(net, saved, name)
    return net


def read_trained(name: str) -> Trained:
    """Read a trained network. name: a checkpoint, or a run directory, whose best checkpoint is meant. Raises
    InputError.
    """
    saved = checkpoint.read(name, prefer="best")
    net = network_of(saved, name)
    with options_of(f"ckpt={name}"):
        loss, augmentation = build("loss", saved.config.loss), augmentation_of(saved, name)
    return Trained(saved, saved.config, net.eval(), loss, augmentation)


def augmentation_of(saved: checkpoint.Saved, name: str) -> Augmentation | None:
    """The augmentation that the run tested with, with its mean; None for points. Raises InputError."""
    cfg, shape = saved.config, saved.facts.input_shape
    if len(shape) != 3:
        return None
    stored, mean = saved.facts.stored or shape[-1], saved.facts.mean
    if mean is None:
        raise InputError(
            f"ckpt={name} does not say which mean was subtracted from its images",
            option="ckpt",
            value=name,
            hint="train it again",
        )
    if stored > 2 * shape[-1] or len(mean) != shape[0]:
        raise InputError(
            f"ckpt={name} has images of {stored} pixels and {len(mean)} channels for inputs of "
            f"{shape[-1]} and {shape[0]}",
            option="ckpt",
            value=name,
            hint="it is damaged",
        )
    return build(
        "aug",
        cfg.aug,
        stored=stored,
        statistics=ChannelStatistics(torch.tensor(mean)),
        min_size=least_side(cfg),
        size=shape[-1],
        reflections=cfg.data.reflections,
    )
