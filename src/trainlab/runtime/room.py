"""What this machine holds: cores, memory, GPUs, and whether a run asks for more. Imports nothing heavy."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

from trainlab.errors import InputError

PROCESSES_OF_A_CORE = 4  # beyond that they only take turns
MEMORY_OF_A_PROCESS = 0.4e9  # bytes: what a perceptron's takes beside what it shares with its parent
THREADS_OF_A_CORE, MOST_THREADS = 8, 1024  # the larger: a run made on a large machine can be run again on a small one


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def refuse_more_than_there_is_room_for(trainer: Any) -> None:
    """Raises InputError, with what is possible, for more processes or threads than this machine can hold. trainer:
    the run's options.
    """
    if trainer.devices > 1:
        _refuse_processes(trainer.devices, trainer.accelerator)
    most = max(THREADS_OF_A_CORE * cores(), MOST_THREADS) // trainer.devices
    if trainer.threads != "auto" and trainer.threads > most:
        each = f" for each of {trainer.devices} processes" if trainer.devices > 1 else ""
        raise InputError(
            f"trainer.threads={trainer.threads}{each} is more than this machine with its {_cores()} can hold",
            option="trainer.threads",
            value=trainer.threads,
            hint=f"use at most {most}, or auto",
        )


def _cores() -> str:
    return f"{cores()} core{'s' * (cores() > 1)}"


def _refuse_processes(devices: int, accelerator: str) -> None:
    gpus = [] if accelerator == "cpu" else visible_gpus()
    if gpus:
        if devices > len(gpus):
            raise InputError(
                f"trainer.devices={devices} is more than the {len(gpus)} GPU{'s' * (len(gpus) > 1)} of this machine",
                option="trainer.devices",
                value=devices,
                hint="use fewer, or trainer.accelerator=cpu",
            )
        return
    memory = free_memory()
    by_cores, by_memory = PROCESSES_OF_A_CORE * cores(), memory / MEMORY_OF_A_PROCESS
    most = max(1, int(min(by_cores, by_memory)))
    if devices > most:
        why = f"{PROCESSES_OF_A_CORE} for each of its {_cores()}"
        if by_memory < by_cores:
            why = f"{gigabytes(memory)} of memory are free, and each takes {gigabytes(MEMORY_OF_A_PROCESS)}"
        raise InputError(
            f"trainer.devices={devices} is more than the {most} process{'es' * (most > 1)} that this "
            f"machine can hold ({why})",
            option="trainer.devices",
            value=devices,
            hint=f"use at most {most}",
        )


def visible_gpus() -> list[str]:
    """The GPUs' numbers or names, as CUDA_VISIBLE_DEVICES takes them, without starting CUDA in this process."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return [str(i) for i, line in enumerate(line for line in listed.splitlines() if line.startswith("GPU "))]


def free_memory() -> float:
    """How many bytes can be had without swapping; infinity where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            return next(1024.0 * int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return float("inf")


def gigabytes(count: float) -> str:
    """Bytes as people read them: "1,234.5 GB", "12.3 MB"."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
