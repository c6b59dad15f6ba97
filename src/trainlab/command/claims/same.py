"""Four small runs at fixed seeds whose loss curves are recorded: a gate for changes of the training path.

On one machine the curves are equal to the bit. Another number of threads, another processor or another torch adds up in
another order: two threads, or no AVX-512, made a difference of 4e-08 of a loss in the first three, of 7e-06 in AlexNet.
"""

from __future__ import annotations

import csv
import io
import math
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from trainlab.command.claims.check import ROOT
from trainlab.errors import InputError, RunError
from trainlab.recording.run_directory import read_rows
from trainlab.recording.terminal import console
from trainlab.survival.atomic import atomic_write

FILE = ROOT / "docs" / "results" / "same.csv"
COLUMNS = ("run", "epoch", "train_loss")
COMMON = ("logger=csv", "figures=false", "trainer=cpu", "trainer.precision=float32", "trainer.threads=1", "seed=0")
RUNS = {
    "perceptron": ("data=digits", "trainer.max_epochs=10"),
    "mlp, L2, dropout, momentum": (
        "model=mlp",
        "data=digits",
        "reg=l2_dropout",
        "optim=momentum",
        "trainer.max_epochs=6",
    ),
    "convnet, crops": (
        "model=convnet",
        "data=digits",
        "data.train_examples=512",
        "data.batch_size=32",
        "aug=crop_flip",
        "trainer.max_epochs=3",
    ),
    # Constant borders leave ties to max pooling, which rounding breaks: with its own 0.01 that grows to 1e-3.
    "alexnet": (
        "model=alexnet",
        "data=digits",
        "data.train_examples=64",
        "data.batch_size=32",
        "optim.lr=0.001",
        "trainer.max_epochs=2",
    ),
}
TOLERANCE = {"alexnet": 1e-4}  # of a loss, relative
OTHERS = 1e-5

Curves = dict[str, list[float]]  # the training loss of each epoch, by the run's name


@dataclass(frozen=True)
class Difference:
    """How far one run's curve is from the recorded one. relative: the largest of its epochs'. epoch: where, from 1."""

    run: str
    relative: float
    epoch: int

    @property
    def word(self) -> str:
        """Whether it is the same curve."""
        if self.relative == 0:
            return "equal"
        return "same" if self.relative <= TOLERANCE.get(self.run, OTHERS) else "differs"


def same(*, update: bool = False) -> None:
    """Train the four and compare. update: record their curves, after showing the difference. Raises RunError where one
    differs, and InputError where the record is not there or is damaged.
    """
    recorded = read(FILE) if FILE.exists() or not update else {}
    now = curves()
    differences = [difference(name, recorded[name], now[name]) for name in now if name in recorded]
    table = Table(title=f"training losses beside {FILE.name}", title_justify="left")
    for head in ("run", "relative difference", "at most", "in epoch", ""):
        table.add_column(head)
    for one in differences:
        table.add_row(one.run, f"{one.relative:.1e}", f"{TOLERANCE.get(one.run, OTHERS):.0e}", str(one.epoch), one.word)
    console().print(table)
    if update:
        atomic_write(FILE, text(now))
        print(f"written: {FILE.relative_to(ROOT)}")
        return
    wrong = [one.run for one in differences if one.word == "differs"]
    missing = sorted(set(now).difference(recorded))
    if wrong or missing:
        raise RunError(
            f"the training path computes something else: {'; '.join([*wrong, *missing])}; if that is meant, record it "
            "with `python scripts/claims.py --same --update`."
        )


def curves() -> Curves:
    """The four runs' training losses, in this process, on one thread, in float32."""
    from trainlab.command.from_python import run

    found: Curves = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, options) in enumerate(RUNS.items()):
            with redirect_stdout(sys.stderr):
                done = run([*COMMON, *options], run_dir=Path(folder) / str(number))
            found[name] = [row["train/loss"] for row in read_rows(done.run_dir)]
    return found


def difference(name: str, recorded: list[float], now: list[float]) -> Difference:
    """The largest relative difference of two curves; infinite where one is longer."""
    if len(recorded) != len(now):
        return Difference(name, math.inf, min(len(recorded), len(now)) + 1)
    apart = [abs(b - a) / abs(a) if math.isfinite(b) else math.inf for a, b in zip(recorded, now, strict=True)]
    return Difference(name, max(apart), apart.index(max(apart)) + 1)


def text(found: Curves) -> str:
    """The table of the curves, as the file has it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, losses in found.items():
        writer.writerows([name, epoch, repr(loss)] for epoch, loss in enumerate(losses, 1))
    return out.getvalue()


def read(file: Path) -> Curves:
    """The recorded curves. Raises InputError."""
    found: Curves = {}
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                found.setdefault(row["run"], []).append(float(row["train_loss"]))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{file} holds no curves ({error}); write it with --same --update.") from error
    return found
