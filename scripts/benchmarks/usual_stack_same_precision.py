"""The usual stack in the precision of the other sides, which nobody gets without asking for it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.pace import Pace
from benchmarks.usual_stack import train_with


def run(overrides: list[str], pace: Pace, folder: Path) -> None:
    """Train with the usual stack, in the precision that this project chooses."""
    train_with(overrides, pace, folder)
