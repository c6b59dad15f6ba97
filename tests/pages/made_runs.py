"""Sweeps as real ones lie on the disk, made without training: for the page of runs, in any number and state."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from trainlab.recording.point import Point
from trainlab.sweeps.point import Status

HOSTILE = "</script><script>alert(1)</script>"
COLUMNS = ("train/loss", "train/top1_error", "train/top5_error", "train/objective", "val/loss", "val/top1_error")
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000000000500015d0b2ab40000000049454e44ae426082"
)


def make_sweep(
    folder: Path,
    axes: dict[str, Sequence[Any]],
    *,
    epochs: int = 12,
    failed: Sequence[int] = (),
    going: Sequence[int] = (),
    metrics: int = 8,
) -> Path:
    """A sweep of every combination; those of these numbers have failed, or are not finished. seed is an axis, too."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = {}
    for number, values in enumerate(product(*axes.values())):
        swept = dict(zip(axes, values, strict=True))
        name = f"{number:04d}_" + "_".join(f"{key}-{value}" for key, value in swept.items()).replace("/", "-")[:80]
        listed[name] = swept
        make_run(folder / name, swept, number, epochs, metrics, state=_state(number, failed, going))
    (folder / "sweep.json").write_text(json.dumps({"overrides": [], "swept": list(axes), "points": listed}))
    return folder


def _state(number: int, failed: Sequence[int], going: Sequence[int]) -> str:
    return "failed" if number in failed else "going" if number in going else "finished"


def make_run(
    folder: Path, swept: dict[str, Any], number: int, epochs: int, metrics: int = 8, *, state: str = "finished"
) -> None:
    folder.mkdir(parents=True)
    seed = swept.get("seed", 0)
    overrides = [f"{key}={json.dumps(value)}" for key, value in swept.items()]
    Point(folder.parent.name, swept, overrides, config_of(swept), "c0ffee", 1).write(folder)
    draw = random.Random(number)
    best = error_of(swept) + 0.01 * draw.random()
    done = {"finished": epochs, "going": epochs // 2, "failed": 1}[state]
    rows = [row_of(epoch, best, draw, metrics) for epoch in range(1, done + 1)]
    head = ",".join(rows[0])
    lines = [",".join(repr(value) for value in row.values()) for row in rows]
    (folder / "metrics.csv").write_text("\n".join([head, *lines]) + "\n")
    (folder / "log.txt").write_text("perceptron on digits\nCPU · float32\n")
    if state == "failed":
        Status("failed", "the loss became infinite in epoch 1; try a smaller one.", 0.5).write(folder)
        with open(folder / "log.txt", "a") as log:
            log.write("\x1b[31merror: the loss became infinite in epoch 1; try a smaller one.\x1b[0m\n")
    elif state == "going":
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints/last.ckpt").touch()
    else:
        (folder / "figures").mkdir()
        (folder / "figures/confusion_matrix.png").write_bytes(PNG)
        Status("finished", seconds=float(epochs)).write(folder)
        (folder / "results.json").write_text(json.dumps(results_of(rows, best, seed, draw)))


def error_of(swept: dict[str, Any]) -> float:
    """Least at 0.001, so that a page has something to show."""
    strength = swept.get("reg.l2", 0)
    far = abs(math.log10(strength or 1e-5) + 3) if isinstance(strength, int | float) else 1
    return 0.04 + 0.03 * far + (0.05 if swept.get("model") == "perceptron" else 0)


def row_of(epoch: int, best: float, draw: random.Random, metrics: int) -> dict[str, float]:
    row: dict[str, float] = {"epoch": epoch, "step": 21 * epoch, "images_seen": 1293 * epoch}
    row["training_seconds"] = 0.1 * epoch + 0.01 * draw.random()
    for name in COLUMNS[: metrics - 2]:
        row[name] = best + 0.5 * math.exp(-epoch / 5) + 0.01 * draw.random()
    return row | {"weight_norm": 2 + draw.random(), "images_per_second": 50_000 + draw.random()}


def results_of(rows: Sequence[dict[str, float]], best: float, seed: int, draw: random.Random) -> dict[str, Any]:
    return {
        "model": "mlp",
        "data": "digits",
        "seed": seed,
        **{f"last/{name}": value for name, value in rows[-1].items()},
        "monitor": "val/top1_error",
        "best/val/top1_error": best,
        "test/top1_error": best + 0.002 * draw.random(),
        "test/loss": 2 * best,
        "parameters": 650,
        "images_per_second": 50_000.0,
        "seconds": 1.0 + draw.random(),
        "peak_memory_mb": 596.0,
        "device": "CPU",
        "precision": "float32",
        "processes": 1,
        "threads": 1,
        "torch": "2.14.1",
        "commit": "c0ffee",
    }


def config_of(swept: dict[str, Any]) -> dict[str, Any]:
    """Some hundred options, nearly all alike."""
    config: dict[str, Any] = {
        "seed": swept.get("seed", 0),
        "ckpt": None,
        "model": {"name": swept.get("model", "mlp"), "hidden": [10], "activation": "relu"},
        "data": {"name": swept.get("data", "digits"), "batch_size": 64},
        "reg": {"name": "l2", "l2": 0.0, "dropout": 0.0},
        "optim": {"name": "sgd", "lr": 0.3},
        "trainer": {"name": "cpu", "max_epochs": 12, **{f"option_{i}": i for i in range(90)}},
    }
    for key, value in swept.items():
        part, _, name = key.partition(".")
        if name:
            config[part][name] = value
    return config
