"""results.json: one flat object with all that a run came to, and what it was run with."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
import torchvision

import trainlab

REPOSITORY = Path(__file__).resolve().parents[2]


def provenance() -> dict[str, Any]:
    """Versions of what the numbers depend on, and the commit of the code."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "lightning": lightning.__version__,
        "trainlab": trainlab.__version__,
        "commit": commit(REPOSITORY),
    }


def write_results(path: Path, values: Mapping[str, Any]) -> None:
    """Whole or not at all: written beside `path`, then renamed."""
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(dict(values), indent=2, allow_nan=False) + "\n")
    os.replace(beside, path)


def peak_memory_mb(on_gpu: bool) -> float:
    """The most memory this process has held: on its GPU, or resident memory. Units: 10⁶ bytes."""
    if on_gpu:
        return torch.cuda.max_memory_allocated() / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / 1e6


def commit(repository: Path) -> str | None:
    """The git commit of the code, with "+changes" when the tree differs from it; None outside a checkout."""

    def git(*words: str) -> str:
        command = ["git", "-C", os.fspath(repository), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
