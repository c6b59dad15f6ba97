"""From configuration to objects: each choice's YAML names a constructor and gives its arguments by name.

What may be named is listed, never searched for: the targets in the files of conf/, each for its own group. A
checkpoint carries its configuration, and reading one must not run whatever it names.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache, partial
from typing import Any, get_type_hints

import yaml
from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import nn

from trainlab.conf_folder import CONF
from trainlab.config import wrong_value
from trainlab.data.module import ImageData
from trainlab.errors import InputError
from trainlab.memory import free_memory, gigabytes
from trainlab.models.weight_budget import WeightBudget

# Arguments that let a source write files or use the network, and the options by which a command asks for that
FETCHES = {"download": "data.download", "pack": "data.packed"}
BYTES_OF_A_WEIGHT = 12  # float32, its gradient and its velocity


@cache
def targets(group: str) -> frozenset[str]:
    """The names that the files of conf/GROUP give as ``_target_``."""
    found: set[str] = set()

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            found.update(str(value) for key, value in node.items() if key == "_target_")
            for value in node.values():
                collect(value)

    for file in (CONF / group).glob("*.yaml"):
        collect(yaml.safe_load(file.read_text(encoding="utf-8")))
    return frozenset(found)


def target(group: str, node: DictConfig) -> Any:
    """The class or function that `node._target_` names, one of the group's. Raises InputError."""
    name = str(node.get("_target_")) if isinstance(node, DictConfig) else "none"
    if name not in targets(group):
        raise InputError(
            f"_target_={name} is not what a file of conf/{group} names; there are {', '.join(sorted(targets(group)))}, "
            f"and a new one needs a file conf/{group}/NAME.yaml."
        )
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"_target_={name} does not exist ({error}); see the files of src/trainlab.") from error


def build(group: str, node: DictConfig, **extra: Any) -> Any:
    """Call the target with the node's values and `extra`, which wins. Raises InputError for arguments that it does not
    take, or not with such a value."""
    call = target(group, node)
    given = OmegaConf.to_container(node, resolve=True)
    assert isinstance(given, dict)
    values = {str(key): value for key, value in given.items() if key not in ("_target_", "name")}
    check_arguments(group, call, {key: value for key, value in values.items() if key not in extra})
    try:
        inspect.signature(call).bind(**(values | extra))
        return call(**(values | extra))
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise InputError(f"{node._target_} cannot be made: {str(error).split('() ')[-1]}.") from error


def check_arguments(group: str, call: Callable[..., Any], values: dict[str, Any]) -> None:
    """Raises InputError for a value that is not of the type that `call` says its argument has."""
    hints = get_type_hints(call.__init__ if inspect.isclass(call) else call)
    kinds = {
        parameter.name for parameter in inspect.signature(call).parameters.values() if parameter.kind.name[:3] != "VAR"
    }
    strict = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    for key in kinds & hints.keys() & values.keys():
        try:
            TypeAdapter(hints[key], config=strict).validate_python(values[key])
        except ValidationError as error:
            raise InputError(wrong_value(f"{group}.{key}", values[key], hints[key])) from error


def build_data(
    cfg: DictConfig,
    *,
    min_size: int = 1,
    input_size: int | None = None,
    channels_last: bool = False,
    may_fetch: bool = True,
) -> ImageData:
    """The data module. min_size: the least side the network takes; input_size: the exact one it was made for.

    may_fetch: whether a source may download or pack what is not there; not where a file chose it.
    """
    augmentation = partial(build, "aug", cfg.aug, min_size=min_size, size=input_size, reflections=cfg.data.reflections)
    return ImageData(
        source(cfg, may_fetch=may_fetch),
        augmentation,
        batch_size=cfg.data.batch_size,
        train_examples=cfg.data.get("train_examples"),
        seed=cfg.seed,
        channels_last=channels_last,
    )


def source(cfg: DictConfig, *, may_fetch: bool) -> Callable[[], Any]:
    """What reads the sets, to be called without arguments."""
    fetches = inspect.signature(target("data", cfg.data.load)).parameters.keys() & FETCHES.keys()
    return partial(build, "data", cfg.data.load, **({} if may_fetch else dict.fromkeys(fetches, False)))


def build_net(
    node: DictConfig, input_shape: tuple[int, ...], classes: int, *, weights_follow: bool = False
) -> nn.Module:
    """The network for images of `input_shape` (C, H, W), or points (F,), and so many classes.

    weights_follow: from a checkpoint, so that published ones need not be had. Raises InputError, before the memory
    is asked for, for a network that the machine cannot hold.
    """
    if len(input_shape) == 1 and target("model", node).min_size > 1:
        raise InputError(f"model={node.name} needs images and this data are points; use model=perceptron or model=mlp.")
    if weights_follow and node.get("weights"):
        node = OmegaConf.merge(node, {"weights": None, "standardised": True})  # type: ignore[assignment]
    free = free_memory()

    def too_large() -> InputError:
        return InputError(
            f"model={node.name} of this size needs more than the {gigabytes(free)} of memory that are free, "
            f"{BYTES_OF_A_WEIGHT} bytes for each weight; make it smaller."
        )

    with WeightBudget(free / BYTES_OF_A_WEIGHT, too_large) if free < float("inf") else nullcontext():
        return build("model", node, image_shape=input_shape, classes=classes)
