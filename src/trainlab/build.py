"""From configuration to objects: each choice's YAML names a constructor and gives its arguments by name."""

from __future__ import annotations

from functools import partial
from typing import Any

import hydra.utils
from omegaconf import DictConfig, OmegaConf
from torch import nn

from trainlab.data.module import ImageData
from trainlab.errors import InputError


def target(node: DictConfig) -> Any:
    """The class or function that `node._target_` names. Only this package's own: a checkpoint carries its
    configuration, and reading one must not run whatever it names."""
    name = node.get("_target_", "")
    if not name.startswith("trainlab."):
        raise InputError(f"_target_={name or 'null'} is not a part of trainlab; put new parts into src/trainlab.")
    try:
        return hydra.utils.get_object(name)
    except Exception:
        raise InputError(f"_target_={name} does not exist; see the files of src/trainlab.") from None


def build(node: DictConfig, **extra: Any) -> Any:
    """Call the target with the node's values and `extra`. Raises InputError for arguments it does not know."""
    arguments = OmegaConf.to_container(node, resolve=True)
    assert isinstance(arguments, dict)
    known = {str(key): value for key, value in arguments.items() if key not in ("_target_", "name")}
    call = target(node)
    try:
        return call(**known, **extra)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise InputError(f"{node._target_} cannot be made: {str(error).split('() ')[-1]}.") from None


def build_data(
    cfg: DictConfig, *, min_size: int = 1, input_size: int | None = None, channels_last: bool = False
) -> ImageData:
    """The data module. min_size: the least side the network takes; input_size: the exact one it was made for."""
    augmentation = partial(build, cfg.aug, min_size=min_size, size=input_size, reflections=cfg.data.reflections)
    return ImageData(
        partial(build, cfg.data.load),
        augmentation,
        batch_size=cfg.data.batch_size,
        train_examples=cfg.data.get("train_examples"),
        seed=cfg.seed,
        channels_last=channels_last,
    )


def build_net(
    node: DictConfig, input_shape: tuple[int, ...], classes: int, *, weights_follow: bool = False
) -> nn.Module:
    """The network for images of `input_shape` (C, H, W), or points (F,), and so many classes.

    weights_follow: from a checkpoint, so that published ones need not be had.
    """
    if len(input_shape) == 1 and target(node).min_size > 1:
        raise InputError(f"model={node.name} needs images and this data are points; use model=perceptron or model=mlp.")
    if weights_follow and node.get("weights"):
        node = OmegaConf.merge(node, {"weights": None, "standardised": True})  # type: ignore[assignment]
    return build(node, image_shape=input_shape, classes=classes)
