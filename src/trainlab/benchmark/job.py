"""What every side trains: the network, the objective, the optimiser and the images of one command line."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from trainlab.build import build, build_data, build_net, target
from trainlab.command import compose_run
from trainlab.data.module import ImageData
from trainlab.hardware import Hardware, choose_hardware
from trainlab.objective import L2, Loss
from trainlab.optim import optimiser


@dataclass(frozen=True)
class Job:
    cfg: DictConfig
    hardware: Hardware
    device: torch.device
    data: ImageData
    net: nn.Module
    loss: Loss

    @property
    def batch_size(self) -> int:
        assert self.data.batch_size is not None
        return self.data.batch_size

    def optimiser(self) -> torch.optim.Optimizer:
        l2 = L2(self.cfg.reg.l2, self.cfg.reg.form, examples=len(self.data.sets.train))
        return optimiser(
            self.net, lr=self.cfg.optim.lr, momentum=self.cfg.optim.get("momentum"), l2_coefficient=l2.coefficient
        )

    def autocast(self) -> AbstractContextManager[Any]:
        on = self.hardware.precision == "bf16-mixed"
        # Each weight is used once in a step, so there is nothing to keep; and a CUDA graph must not.
        return torch.autocast(self.device.type, torch.bfloat16, enabled=on, cache_enabled=False)

    def synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def memory(self) -> Any:
        return partial(device_memory_mb) if self.device.type == "cuda" else None


def device_memory_mb() -> float:
    return torch.cuda.max_memory_allocated() / 1e6


def job(overrides: list[str]) -> Job:
    """As train.py would build it."""
    cfg = compose_run(overrides)
    torch.manual_seed(cfg.seed)
    net_class = target("model", cfg.model)
    hardware = choose_hardware(
        **{key: cfg.trainer[key] for key in ("accelerator", "strategy", "devices", "precision", "channels_last")},
        convolutions=net_class.min_size > 1,
    )
    device = torch.device("cuda" if hardware.accelerator == "gpu" else "cpu")
    data = build_data(cfg, min_size=net_class.min_size, channels_last=hardware.channels_last)
    data.setup()
    net = build_net(cfg.model, data.input_shape, len(data.classes)).to(device)
    if hardware.channels_last:
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Job(cfg, hardware, device, data, net.train(), build("loss", cfg.loss))
