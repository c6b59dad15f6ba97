"""How much memory there is; loads nothing heavy."""

from __future__ import annotations


def free_memory() -> float:
    """Bytes that can be had without swapping; unknown counts as plenty."""
    try:
        with open("/proc/meminfo") as file:
            return next(1024.0 * int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return float("inf")


def gigabytes(count: float) -> str:
    """Bytes as people read them: "1,234.5 GB", "12.3 MB"."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
