"""What is decided about a run once its parts are there: threads, steps at a time, and what times them."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import torch

from trainlab.configuration.stored import plain_config
from trainlab.models.summary import LayerSummary, summarize
from trainlab.runtime.assembly import Assembly
from trainlab.runtime.hardware import choose_steps_per_execution, choose_threads
from trainlab.runtime.profiling import NoProfiler, StepProfiler
from trainlab.survival.checkpoint import RunMetadata


@dataclass(frozen=True)
class Plan:
    """What a run is going to do. layers: of the network, from the input on. threads: of each process. facts: what
    goes into its checkpoints. profiler: times the steps, or does nothing.
    """

    layers: list[LayerSummary]
    threads: int
    profiler: NoProfiler | StepProfiler
    facts: RunMetadata


def plan_run(parts: Assembly, layers: list[LayerSummary] | None = None, config: dict[str, Any] | None = None) -> Plan:
    """The plan of a run whose parts are put together; it also tells the data module how many batches to give out at a
    time. layers, config: what would be found out about the network and the configuration, where it is known already.
    """
    cfg, data, hardware = parts.cfg, parts.data, parts.hardware
    table = layers if layers is not None else summarize(parts.net, data.input_shape)
    step = min(data.batch_size or sys.maxsize, len(data.sets.train))  # examples
    multiplications = step * sum(layer.connections for layer in table)
    processes = cfg.trainer.devices * cfg.trainer.nodes
    values = step * math.prod(data.input_shape)
    data.steps_per_execution = choose_steps_per_execution(hardware.accelerator, multiplications, values, processes)
    profiler = NoProfiler()
    if cfg.profile:
        steps = cfg.trainer.max_epochs * data.train_batches
        profiler = StepProfiler(steps, torch.cuda.synchronize if hardware.accelerator == "gpu" else lambda: None)
    facts = RunMetadata(
        config=plain_config(cfg) if config is None else config,
        classes=list(data.classes),
        input_shape=list(data.input_shape),
        mean=data.mean,
        stored=None if data.augmentation is None else data.sets.train.images.shape[-1],
    )
    return Plan(table, choose_threads(cfg.trainer.threads, multiplications, cfg.trainer.devices), profiler, facts)
