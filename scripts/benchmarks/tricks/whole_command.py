"""`python train.py WORDS…` without some of its tricks: ``python -m benchmarks.tricks.whole_command SWITCH,… WORDS…``.

Imports nothing before the switches are made that the command itself would not import first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext

from benchmarks.tricks.switching import by_name, swap

LIBGOMP_SPINS = "300000"  # libgomp's own GOMP_SPINCOUNT, from its manual


def once_imported(switch: Callable[[], None]) -> None:
    """Make it as soon as the command itself has imported torch and Lightning."""
    from trainlab.runtime import lean_imports

    lean = lean_imports.import_lightning

    def then_switch() -> None:
        lean()
        switch()

    swap(lean_imports, "import_lightning", then_switch)


def collected_imports() -> None:
    """Garbage is collected while torch and Lightning are imported, and their objects are looked through ever after."""
    from trainlab.command import main

    swap(main, "no_garbage_collection", nullcontext)


def slow_exit() -> None:
    """Python ends as it does by itself and frees every object."""
    from trainlab.command import main

    swap(main, "quick_exit", nullcontext)


def whole_lightning() -> None:
    """Lightning is imported with all that it brings along."""
    from trainlab.runtime import lean_imports

    swap(lean_imports, "import_lightning", lambda: None)


def whole_wandb() -> None:
    """W&B is started with its launcher of jobs."""
    from trainlab.runtime import lean_imports

    swap(lean_imports, "wandb_without_launch", nullcontext)


def torchs_wrapper() -> None:
    """Gradient descent calls torch's step as torch wraps it, for which torch imports its compiler."""

    def switch() -> None:
        import torch

        from trainlab.optim import GradientDescent

        swap(GradientDescent, "step", torch.optim.SGD.step)

    once_imported(switch)


def long_spin() -> None:
    """OpenMP's threads spin for each other as long as libgomp thinks right."""
    os.environ["GOMP_SPINCOUNT"] = LIBGOMP_SPINS


def cold_points() -> None:
    """Each point of a sweep imports torch and Lightning for itself."""
    from trainlab.sweeps import pool

    swap(pool, "PRELOADED", [])


def mapped_pages_kept() -> None:
    """A packed set's pages stay mapped once they were read."""

    def switch() -> None:
        from trainlab.data.packed import format as packed

        swap(packed, "MAPPED", 2**62)

    once_imported(switch)


def as_it_is() -> None:
    """The command with all its tricks."""


SWITCHES = by_name(
    as_it_is,
    collected_imports,
    slow_exit,
    whole_lightning,
    whole_wandb,
    torchs_wrapper,
    long_spin,
    cold_points,
    mapped_pages_kept,
)

if __name__ == "__main__":
    for name in sys.argv.pop(1).split(","):
        SWITCHES[name]()
    from trainlab.command.main import main

    main()
