"""How soon a command answers: whole processes, from their start."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.measure import Measure, in_turn, quotients
from trainlab.errors import RunError
from trainlab.recording.commit import REPOSITORY

TRAIN = str(REPOSITORY / "train.py")
COMMANDS = {
    "python train.py --help": ["--help"],
    "python train.py --cfg job": ["model=alexnet", "--cfg", "job"],
    "a mistake in a command": ["model=alexnett"],
}


def start_up(rounds: int, on_progress: Callable[[str], None]) -> list[Measure]:
    """--help, --cfg job and a mistake; then the first row of a small run against the imports it cannot avoid."""
    seconds = in_turn([partial(_python, TRAIN, *words) for words in COMMANDS.values()], rounds)
    found = []
    for (name, words), taken in zip(COMMANDS.items(), seconds, strict=True):
        with_torch = " torch\n" in _python("-X", "importtime", TRAIN, *words).replace("|   ", "").replace("| ", " ")
        remark = "torch is imported" if with_torch else "torch is not imported"
        found.append(Measure(name, taken, "s", ("≤", 1.0), remark))
        on_progress(name)
    imports = [partial(_python, "-c", f"import {names}") for names in ("torch", "torch, lightning")]
    torch, both, first = in_turn([*imports, _until_the_first_row], rounds)
    on_progress("the first training step")
    remark = "python train.py model=perceptron, until its first epoch of 12 steps is in metrics.csv"
    found += [
        Measure("import torch", torch, "s"),
        Measure("import torch, lightning", both, "s"),
        Measure("start of a run to its first steps", first, "s", remark=remark),
        Measure("  against import torch alone", quotients(first, torch), "×", ("≤", 1.5)),
        Measure("  against import torch, lightning", quotients(first, both), "×", ("≤", 1.0)),
    ]
    return found


def _python(*words: str) -> str:
    """What it writes on standard error."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.stderr


def _until_the_first_row() -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = ["model=perceptron", "data=digits", "trainer.max_epochs=100000", f"hydra.run.dir={folder}/run"]
        words += ["logger.mode=offline"]
        process = subprocess.Popen(
            [sys.executable, TRAIN, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"WANDB_SILENT": "true"},
        )
        try:
            rows = Path(folder) / "run" / "metrics.csv"
            while not rows.exists() or rows.read_text().count("\n") < 2:
                if process.poll() is not None:
                    raise RunError("the run whose start was timed ended early; `python train.py` says why.")
                time.sleep(0.002)
        finally:
            process.kill()
            process.wait()
