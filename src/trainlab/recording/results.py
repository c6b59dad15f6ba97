"""results.json: one flat object with all that a run came to, and what it was run with."""

from __future__ import annotations

import json
import platform
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import trainlab
from trainlab.models.summary import training_operations
from trainlab.recording.commit import commit
from trainlab.runtime.assembly import Assembly
from trainlab.runtime.hardware import Hardware, matrix_rate
from trainlab.runtime.plan import Plan
from trainlab.survival.atomic import atomic_write

MATRIX_SECONDS = 0.05  # for the rate that "mfu" is a share of


@dataclass(frozen=True)
class Surroundings:
    """What results.json says of the process and its machine. matrix_rate: see `hardware.matrix_rate`."""

    matrix_rate: float
    peak_memory_mb: float
    provenance: dict[str, Any]


def look_around(hardware: Hardware) -> Surroundings:
    """The surroundings as they are now; it takes `MATRIX_SECONDS`."""
    rate = matrix_rate(hardware, seconds=MATRIX_SECONDS)
    return Surroundings(rate, peak_memory_mb(on_gpu=hardware.accelerator == "gpu"), provenance())


def collect_results(
    parts: Assembly,
    plan: Plan,
    *,
    last: Mapping[str, float],
    best: float | None,
    tested_epoch: int,
    tested: Mapping[str, float],
    cost: Mapping[str, float],
    surroundings: Surroundings | None = None,
) -> dict[str, Any]:
    """What results.json holds; where a number is of one moment, its name says so.

    last: the last epoch's row, as in metrics.csv; there "last/train/loss" and so on. best: the least value of
    trainer.monitor, None where it was never measured; there "best/" and what was watched. tested: the metrics of the
    test, of the weights after `tested_epoch` epochs. cost: seconds and images_per_second. surroundings: None: they are
    looked at now.
    """
    cfg = parts.cfg
    processes = cfg.trainer.devices * cfg.trainer.nodes
    monitor = cfg.trainer.monitor if best is not None else "train/loss"
    around = surroundings or look_around(parts.hardware)
    results: dict[str, Any] = {
        "model": cfg.model.name,
        "data": cfg.data.name,
        "seed": cfg.seed,
        **{f"last/{name}": value for name, value in last.items()},
        "monitor": monitor,
        f"best/{monitor}": last[monitor] if best is None else best,
        "test/epoch": tested_epoch,
        **tested,
        **parts.data.sets.notes,
        "views": parts.data.test_views,
        "parameters": sum(layer.weights + layer.biases for layer in plan.layers),
        **cost,
        "mfu": cost["images_per_second"] * training_operations(plan.layers) / (around.matrix_rate * processes),
        "peak_memory_mb": around.peak_memory_mb,
        **parts.hardware.fields,
        "processes": processes,
        "threads": plan.threads,
        **around.provenance,
    }
    if cfg.trainer.target is not None:
        results["target"] = cfg.trainer.target
        results["target_reached"] = last.get(cfg.trainer.monitor, 1.0) < cfg.trainer.target
    return results


def provenance() -> dict[str, Any]:
    """Versions of what the numbers depend on, and the commit of the code."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "lightning": version("lightning"),
        "trainlab": trainlab.__version__,
        "commit": commit(),
    }


def results_text(values: Mapping[str, Any]) -> str:
    """What results.json holds."""
    return json.dumps(dict(values), indent=2, allow_nan=False) + "\n"


def write_results(path: Path, values: Mapping[str, Any]) -> None:
    """Write results.json, whole or not at all."""
    atomic_write(path, results_text(values))


def peak_memory_mb(on_gpu: bool) -> float:
    """The most memory this process has held: on its GPU, or resident memory. Units: 10⁶ bytes."""
    if on_gpu:
        return torch.cuda.max_memory_allocated() / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / 1e6
