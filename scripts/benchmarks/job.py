"""What every side trains: the network, the objective, the optimizer and the images of one command line."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from trainlab.command.main import compose_run
from trainlab.data.module import ImageData
from trainlab.objective import Loss
from trainlab.runtime.assembly import Assembly, assemble
from trainlab.runtime.hardware import Hardware


@dataclass(frozen=True)
class Job:
    """What a side trains: the assembled parts of a run, the device, and the network on it in training mode."""

    parts: Assembly
    device: torch.device
    net: nn.Module

    @property
    def cfg(self) -> DictConfig:
        """The configuration of the run."""
        return self.parts.cfg

    @property
    def hardware(self) -> Hardware:
        """Where it computes, and in what precision."""
        return self.parts.hardware

    @property
    def data(self) -> ImageData:
        """The data module, read and measured."""
        return self.parts.data

    @property
    def loss(self) -> Loss:
        """L(x, y; W), without the regulariser."""
        return self.parts.loss

    @property
    def batch_size(self) -> int:
        """Examples in a step."""
        assert self.data.batch_size is not None
        return self.data.batch_size

    def optimizer(self) -> torch.optim.Optimizer:
        """A new optimizer of the network, L2 included, as the configuration says."""
        return self.parts.make_optimizer(self.net)

    def autocast(self) -> AbstractContextManager[Any]:
        """A context manager: bfloat16 where the run has mixed precision, else nothing."""
        on = self.hardware.precision == "bf16-mixed"
        # Each weight is used once in a step, so there is nothing to keep; and a CUDA graph must not.
        return torch.autocast(self.device.type, torch.bfloat16, enabled=on, cache_enabled=False)

    def synchronise(self) -> None:
        """Wait until the device has done its work; on a CPU there is nothing to wait for."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def memory(self) -> Any:
        """What gives the peak of the GPU's memory in 10⁶ bytes; None on a CPU, where `Pace` looks at the processes."""
        return partial(device_memory_mb) if self.device.type == "cuda" else None


def device_memory_mb() -> float:
    """The most memory that torch has had on the GPU, in 10⁶ bytes."""
    return torch.cuda.max_memory_allocated() / 1e6


def job(overrides: list[str]) -> Job:
    """The job of a command line, built as train.py would build it. Raises InputError."""
    cfg = compose_run(overrides)
    torch.manual_seed(cfg.seed)
    parts = assemble(cfg)
    device = torch.device("cuda" if parts.hardware.accelerator == "gpu" else "cpu")
    return Job(parts, device, parts.net.to(device).train())
