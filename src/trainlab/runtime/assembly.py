"""From a configuration to what is trained and what it is trained on: the one place where the parts are put together.

A run, the benchmark, the layer table and whoever reads a checkpoint take them from here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.optim import Optimizer

from trainlab.configuration.build import build, target
from trainlab.data.image_set import DataSplits, relabel_train, subsample_train
from trainlab.data.module import ImageData
from trainlab.errors import InputError
from trainlab.models.weight_budget import WeightBudget
from trainlab.objective import L2, Loss
from trainlab.optim import make_optimizer, numbers_per_weight
from trainlab.recording.packing_progress import pack_in_sight
from trainlab.runtime.hardware import Hardware, choose_hardware
from trainlab.runtime.room import free_memory, gigabytes
from trainlab.survival import checkpoint

# Arguments that let a source write files or use the network, and the options by which a command asks for that
FETCHES = {"download": "data.download", "pack": "data.packed"}

# Options of `optim` that the run looks after; all others are arguments of the optimizer
OF_THE_RUN = (
    *("name", "lr", "bias_lr", "schedule", "plateau_patience", "plateau_drops"),
    *("freeze_first_after", "tolerance"),
)


@dataclass(frozen=True)
class Assembly:
    """The parts of a run, put together. hardware: where it computes and in what precision. data: read and measured.
    net: on the CPU, in its memory order. loss, l2: the objective.
    """

    cfg: DictConfig
    hardware: Hardware
    data: ImageData
    net: nn.Module
    loss: Loss
    l2: L2

    @property
    def title(self) -> str:
        """Which network it is, on which data, for people to read."""
        return f"{self.cfg.model.name} on {self.cfg.data.name}"

    def make_optimizer(self, net: nn.Module) -> Optimizer:
        """The optimizer that the group `optim` names, over the parameters of `net`."""
        optim = self.cfg.optim
        return make_optimizer(
            net, optimizer_of(optim), lr=optim.lr, weight_decay=self.l2.weight_decay, bias_lr=optim.get("bias_lr")
        )


def assemble(cfg: DictConfig, resumed: checkpoint.Saved | None = None) -> Assembly:
    """Put the parts of a run together, as its configuration says.

    resumed: the checkpoint that the run goes on from, which gives the weights and the batch at which the data begin.
    Raises InputError for what does not go together, and for a checkpoint of another network or other classes.
    """
    size = bytes_per_weight(optimizer_of(cfg.optim))
    hardware = hardware_for(cfg)
    data = read_data(cfg, channels_last=hardware.channels_last)
    net = build_net(
        cfg.model,
        data.input_shape,
        len(data.classes),
        weights_follow=resumed is not None,
        bytes_per_weight=size,
    )
    if resumed is not None:
        data.first_batch = resumed.progress.batches
        checkpoint.load_weights(net, resumed, cfg.ckpt)
        if resumed.facts.classes != list(data.classes):
            raise InputError(
                f"ckpt={cfg.ckpt} was trained on the classes {', '.join(resumed.facts.classes)}",
                option="ckpt",
                value=cfg.ckpt,
                hint="these are others",
            )
    l2 = L2(cfg.reg.l2, cfg.reg.form, examples=len(data.sets.train))
    return Assembly(cfg, hardware, data, in_memory_order(net, hardware), build("loss", cfg.loss), l2)


def optimizer_of(optim: DictConfig) -> Callable[..., Optimizer]:
    """What makes the optimizer of the group `optim`, to be called with `params` and `lr`.

    The options of the group that are not the run's own are arguments of the class. Raises InputError for a class that
    is not offered; the call raises it for an option that the class does not take.
    """
    plain = OmegaConf.to_container(optim, resolve=True)
    assert isinstance(plain, dict)
    if "_target_" not in plain:  # of runs made before 2026-12
        plain["_target_"] = f"trainlab.optim.{'Momentum' if 'momentum' in plain else 'GradientDescent'}"
    own = OmegaConf.create({key: value for key, value in plain.items() if key not in OF_THE_RUN})

    def make(**arguments: Any) -> Optimizer:
        try:
            return build("optim", own, **arguments)
        except ValueError as error:  # of torch's optimizers, for a number out of range
            raise InputError(
                f"optim={optim.name} cannot be used ({error})",
                option="optim",
                value=optim.name,
                hint="see its options in --help",
            ) from error

    return make


def bytes_per_weight(optimizer: Callable[..., Optimizer]) -> int:
    """What training takes for each weight: float32, the weight, its gradient and what the optimizer keeps."""
    return 4 * (2 + max(1, numbers_per_weight(optimizer)))


def hardware_for(cfg: DictConfig, **fixed: Any) -> Hardware:
    """The hardware that the group `trainer` asks for, with every "auto" resolved. fixed: values that take the place
    of the group's. Raises InputError for a device that is not there.
    """
    asked = {key: cfg.trainer[key] for key in ("accelerator", "precision", "channels_last")}
    processes = {key: cfg.trainer[key] for key in ("strategy", "devices") if key not in fixed}
    return choose_hardware(**asked, **processes, **fixed, convolutions=least_side(cfg) > 1)


def least_side(cfg: DictConfig) -> int:
    """The least number of pixels along a side that the network takes."""
    return target("model", cfg.model).min_size


def in_memory_order(net: nn.Module, hardware: Hardware) -> nn.Module:
    """The network with its weights in channels-last order, if the hardware computes in it."""
    return net.to(memory_format=torch.channels_last) if hardware.channels_last else net  # type: ignore[call-overload]


def read_data(
    cfg: DictConfig,
    *,
    input_size: int | None = None,
    channels_last: bool = False,
    may_fetch: bool = True,
    mean: Tensor | None = None,
) -> ImageData:
    """The data module of a run, its sets read.

    input_size: the side that the network was made for; None: it follows the images. mean: of each channel, float32
    (C,), to be subtracted; None: it is measured on the training set. may_fetch: whether a source may download or pack
    what is not there, which a configuration out of a file must not cause. Raises InputError.
    """
    augmentation = partial(
        build, "aug", cfg.aug, min_size=least_side(cfg), size=input_size, reflections=cfg.data.reflections
    )
    whole = source(cfg, may_fetch=may_fetch)

    def load() -> DataSplits:
        few = subsample_train(whole(), cfg.data.get("train_examples"))
        return relabel_train(few, cfg.data.get("label_noise", 0.0), cfg.data.split_seed)

    data = ImageData(
        load,
        augmentation,
        batch_size=cfg.data.batch_size,
        batches=debug.batches if (debug := cfg.get("debug")) else None,
        seed=cfg.seed,
        channels_last=channels_last,
        mean=mean,
    )
    data.setup()
    return data


def source(cfg: DictConfig, *, may_fetch: bool) -> Callable[[], Any]:
    """The function that reads the sets, with its arguments bound: those options of the group `data` that it takes.
    may_fetch: whether it may download or pack. Raises InputError.
    """
    options = data_options(cfg)
    arguments = inspect.signature(target("data", options)).parameters
    plain = OmegaConf.to_container(options, resolve=True)
    assert isinstance(plain, dict)
    node = OmegaConf.create({key: value for key, value in plain.items() if key in arguments or key == "_target_"})
    given: dict[str, Any] = {}
    for argument in arguments.keys() & FETCHES.keys():
        allowed = may_fetch and node.get(argument) is not False
        if argument == "pack":
            given[argument] = pack_in_sight if allowed else None
        elif not allowed:
            given[argument] = False
    return partial(build, "data", node, **given)


def data_options(cfg: DictConfig) -> DictConfig:
    """The node of the configuration that names what reads the data. Runs made before 2026-12 have it one level down,
    as `data.load`.
    """
    return cfg.data.load if "load" in cfg.data else cfg.data


def build_net(
    node: DictConfig,
    input_shape: tuple[int, ...],
    classes: int,
    *,
    weights_follow: bool = False,
    bytes_per_weight: int = 12,
) -> nn.Module:
    """The network for images of `input_shape` (C, H, W), or points (F,), with `classes` outputs.

    node: the group `model`. weights_follow: the weights come from a checkpoint, so that published ones are not
    fetched. bytes_per_weight: what training takes for each weight; the default is the weight, its gradient and its
    velocity in float32. Raises InputError, before the memory is asked for, for a network that the machine cannot hold.
    """
    if len(input_shape) == 1 and target("model", node).min_size > 1:
        raise InputError(
            f"model={node.name} needs images, and these data are points",
            option="model",
            value=node.name,
            hint="use model=perceptron or model=mlp",
        )
    if weights_follow and node.get("weights"):
        node = OmegaConf.merge(node, {"weights": None, "standardised": True})  # type: ignore[assignment]
    free = free_memory()

    def too_large() -> InputError:
        return InputError(
            f"model={node.name} of this size needs more than the {gigabytes(free)} of memory that are "
            f"free, {bytes_per_weight} bytes for each weight",
            option="model",
            value=node.name,
            hint="make it smaller",
        )

    with WeightBudget(free / bytes_per_weight, too_large) if free < float("inf") else nullcontext():
        return build("model", node, image_shape=input_shape, classes=classes)
