"""results.json: one flat object with all that a run came to, and what it was run with."""

from __future__ import annotations

import json
import platform
import resource
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import trainlab
from trainlab.atomic import write_whole
from trainlab.commit import commit


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


def write_results(path: Path, values: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    write_whole(path, json.dumps(dict(values), indent=2, allow_nan=False) + "\n")


def peak_memory_mb(on_gpu: bool) -> float:
    """The most memory this process has held: on its GPU, or resident memory. Units: 10⁶ bytes."""
    if on_gpu:
        return torch.cuda.max_memory_allocated() / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / 1e6
