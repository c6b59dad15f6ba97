"""scripts/benchmark.py: everything timed in one run, as a table for people and a JSON file."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from benchmarks.costs import metrics, ten_crops
from benchmarks.growth import Point, grow
from benchmarks.interleaved import Timed, ratios, time_interleaved
from benchmarks.loading import loading
from benchmarks.matrix_rate import against_the_device
from benchmarks.measure import Measure
from benchmarks.stacked import stacked
from benchmarks.stand_in import write_pictures
from benchmarks.start_up import start_up
from benchmarks.tricks.catalogue import NAMES, OURS
from benchmarks.tricks.measurement import Gain, measure_tricks, tricks_table
from benchmarks.workloads import IMPLEMENTATIONS, WORKLOADS, Workload
from trainlab.command.arguments import Arguments
from trainlab.command.main import RUN_STAMP, compose_run
from trainlab.command.packer import in_sight
from trainlab.data.packed.listing import list_images
from trainlab.data.packed.writer import Form, pack
from trainlab.errors import InputError
from trainlab.figures.growth import growth
from trainlab.figures.style import save
from trainlab.recording.results import provenance
from trainlab.recording.terminal import console
from trainlab.runtime.assembly import source
from trainlab.runtime.hardware import choose_hardware
from trainlab.runtime.process import keep_freed_memory
from trainlab.survival.atomic import atomic_write

PARTS = (*(workload.name for workload in WORKLOADS), "start-up", "loading", "costs", "stacked", "growth", "tricks")
PICTURES = (1_024, 4_096)  # of the packed set, quick and whole
ROUNDS = (2, 7)  # of all but the races
TICKS = {"start-up": 4, "loading": 2, "costs": 2, "stacked": 4, "growth": 4}


def benchmark(arguments: Sequence[str]) -> None:
    """Raises InputError and RunError."""
    options = parse(arguments)
    keep_freed_memory()
    most = [part for part in PARTS if part != "tricks" and not (options.quick and part == "growth")]
    chosen = options.only or (["tricks"] if options.tricks else most)
    rounds = ROUNDS[not options.quick]
    out = Path(options.out or f"runs/benchmark/{RUN_STAMP}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made ({error.strerror}); choose another folder with --out.") from None
    terminal = console()
    workloads = [workload for workload in WORKLOADS if workload.name in chosen]
    tricks = options.tricks or (NAMES if "tricks" in chosen else ())
    if options.quick:
        workloads = [
            replace(workload, sides=tuple(s for s in workload.sides if s not in workload.left_out))
            for workload in workloads
        ]
    pictures = Path(options.pictures)
    if {"alexnet", "loading", "costs"} & set(chosen):
        pictures = make_sets(pictures, PICTURES[not options.quick])

    # Before anything is timed
    data = {workload.name: data_for(workload, pictures, options.cifar10) for workload in workloads}

    timings: list[tuple[Workload, str, list[Timed]]] = []
    measures: list[Measure] = []
    points: list[Point] = []
    gains: list[Gain] = []
    total = sum(len(workload.sides) * (workload.rounds[not options.quick] + 1) for workload in workloads)
    total += sum(TICKS[part] for part in chosen if part in TICKS) + len(tricks)
    began = time.perf_counter()
    with in_sight("timing", total) as bar:
        done = 0

        def on_progress(_: str) -> None:
            nonlocal done
            done += 1
            bar(done)

        for workload in workloads:
            words, remark = data[workload.name]
            overrides = [*workload.overrides, *words]
            steps, blocks = workload.steps[not options.quick], workload.rounds[not options.quick]
            timed = time_interleaved(
                workload,
                overrides,
                steps=steps,
                rounds=blocks,
                folder=out,
                on_progress=on_progress,
                cold=not options.quick,
            )
            timings.append((workload, remark, timed))
            if workload.name == "alexnet":
                measures += against_the_device(overrides, timed)
        if "start-up" in chosen:
            measures += start_up(rounds, on_progress)
        if "loading" in chosen:
            measures += loading(pictures / "raw", pictures / "packed_jpeg", rounds, on_progress)
        if "costs" in chosen:
            alexnet = next(workload for workload in WORKLOADS if workload.name == "alexnet")
            overrides = [*alexnet.overrides, *data_for(alexnet, pictures, None)[0]]
            measures += ten_crops(overrides, rounds, on_progress)
            mlp = next(workload for workload in WORKLOADS if workload.name == "mlp")
            measures += metrics([*mlp.overrides, *data_for(mlp, pictures, None)[0]], rounds, on_progress)
        if "stacked" in chosen:
            measures += stacked(rounds, options.quick, on_progress)
        if "growth" in chosen:
            points = grow(on_progress)
        if tricks:
            gains = measure_tricks(
                tricks,
                quick=options.quick,
                folder=out,
                data_for=lambda work: data_of_trick(work, Path(options.pictures), options.cifar10),
                on_progress=on_progress,
            )

    for workload, remark, timed in timings:
        terminal.print(timing_table(workload, remark, timed))
    if measures:
        terminal.print(measure_table(measures))
    if points:
        terminal.print(growth_table(points))
        figure = growth(
            [p.images for p in points],
            [p.memory_mb for p in points],
            [p.rest for p in points],
            [p.epoch for p in points],
        )
        save(figure, out / "growth.png")
    if gains:
        terminal.print(tricks_table(gains))
    atomic_write(out / "benchmark.json", json.dumps(plain(timings, measures, points, gains), indent=2) + "\n")
    minutes = (time.perf_counter() - began) / 60
    terminal.print(f"{machine()} · {minutes:.1f} minutes · {out / 'benchmark.json'}", soft_wrap=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of scripts/benchmark.py. Raises InputError."""
    parser = Arguments(
        prog="python scripts/benchmark.py",
        description="This project beside a bare PyTorch loop, the usual stack, torchvision's recipe and scikit-learn: "
        "the same work in turn, ratios with their spread.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer steps and pictures, without growth")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts and no others")
    parser.add_argument("--tricks", nargs="+", choices=NAMES, help="these tricks and no others, each by its switch")
    parser.add_argument("--out", help="folder for benchmark.json (runs/benchmark/…)")
    parser.add_argument("--cifar10", help="where CIFAR-10 lies; without it, noise of its shape")
    parser.add_argument("--pictures", default="data/benchmark", help="folder for the pictures made (data/benchmark)")
    return parser.parse_args(list(arguments))


def make_sets(folder: Path, count: int) -> Path:
    """JPEG files, and the same ones packed raw and as JPEGs; what is there already stays. Returns where."""
    folder = folder / str(count)
    try:
        write_pictures(folder / "jpeg", count)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be made ({error.strerror}); choose another folder with --pictures."
        ) from None
    listing = list_images(folder / "jpeg")
    for name, store in (("raw", "raw"), ("packed_jpeg", "jpeg")):
        if not (folder / name / "set.json").exists():
            (folder / name).mkdir(exist_ok=True)
            pack(
                listing,
                folder / name,
                Form(256, store, 95),
                on_bad_image="error",
                workers=None,
                on_progress=lambda _: None,
            )
    return folder


def data_for(workload: Workload, pictures: Path, cifar10: str | None) -> tuple[list[str], str]:
    """Overrides that name the data, and what they are: the real set where it is at hand, else noise."""
    if "data=imagenet" in workload.overrides:
        return [f"data.root={pictures / 'raw'}"], "pictures made for this"
    on_cifar10 = "data=cifar10" in workload.overrides
    real = [f"data.root={cifar10}"] if on_cifar10 and cifar10 else []
    try:
        source(compose_run([*workload.overrides, *real, "data.download=false"]), may_fetch=False)()
    except InputError:
        if real:
            raise
        stand_in = "cifar10_like" if on_cifar10 else "fashion_mnist_like"
        return [f"data._target_=benchmarks.stand_in.{stand_in}"], "noise of its shape"
    return [*real, "data.download=false"], "the published set"


def data_of_trick(workload: Workload, folder: Path, cifar10: str | None) -> list[str]:
    """As `data_for`, of the fewest pictures, which are made here where they are needed."""
    pictures = make_sets(folder, PICTURES[0]) if "data=imagenet" in workload.overrides else folder
    return data_for(workload, pictures, cifar10)[0]


def timing_table(workload: Workload, remark: str, timed: Sequence[Timed]) -> Table:
    """The speeds of all sides of a workload, each beside the first one, which is this project."""
    table = Table(title=f"{workload.title} ({remark})", title_justify="left")
    for heading in ("side", "img/s", "ms/step", "trainlab is", "spread", "to reach", "memory", "first step after"):
        table.add_column(heading, justify="left" if heading == "side" else "right")
    for side in timed:
        found = ratios(timed[0], side)
        target = workload.targets.get(side.side)
        reached = "" if target is None else f"≥ {target:.2f} × {'✓' if statistics.median(found) >= target else '✗'}"
        table.add_row(
            IMPLEMENTATIONS[side.side][1],
            f"{side.images_per_second:,.0f}",
            f"{statistics.median(side.step_ms):,.2f}",
            "" if side.side == OURS else f"{statistics.median(found):.2f} ×",
            "" if side.side == OURS else f"{min(found):.2f} – {max(found):.2f}",
            reached,
            f"{side.memory_mb:,.0f} MB",
            "–" if side.start_up is None else f"{side.start_up:.1f} s",
        )
    return table


def measure_table(measures: Sequence[Measure]) -> Table:
    """One row for each measured thing, with the bound that it is to reach."""
    table = Table(title="Start, loading, costs, sweeps, device", title_justify="left")
    for heading in ("what", "median", "spread", "to reach", ""):
        table.add_column(heading, justify="left" if heading in ("what", "") else "right")
    for m in measures:
        digits = 0 if m.median >= 100 else 2
        bound = "" if m.bound is None else f"{m.bound[0]} {m.bound[1]:g} {m.unit} {'✓' if m.reached else '✗'}"
        spread = f"{min(m.values):,.{digits}f} – {max(m.values):,.{digits}f}"
        table.add_row(m.what, f"{m.median:,.{digits}f} {m.unit}", spread, bound, m.remark)
    return table


def growth_table(points: Sequence[Point]) -> Table:
    """Memory and time against the size of a packed set, one row for each size."""
    table = Table(
        title="A packed set grows: one epoch of the perceptron, aug=alexnet, 128 pixels", title_justify="left"
    )
    for heading in ("pictures", "peak memory", "epoch", "for each 1,000", "all but the epoch"):
        table.add_column(heading, justify="right")
    for p in points:
        each = f"{1000 * p.epoch / p.images:.2f} s"
        table.add_row(f"{p.images:,}", f"{p.memory_mb:,.0f} MB", f"{p.epoch:.1f} s", each, f"{p.rest:.1f} s")
    return table


def machine() -> str:
    """The hardware, the threads and the versions of the libraries, on one line."""
    hardware = choose_hardware(
        accelerator="auto", strategy="auto", devices=1, precision="auto", channels_last="auto", convolutions=True
    )
    versions = provenance()
    named = ", ".join(f"{name} {versions[name]}" for name in ("torch", "torchvision", "lightning", "python"))
    return f"{hardware.remark} · {torch.get_num_threads()} CPU threads · {named}"


def plain(
    timings: Sequence[tuple[Workload, str, list[Timed]]],
    measures: Sequence[Measure],
    points: Sequence[Point],
    gains: Sequence[Gain],
) -> dict[str, Any]:
    """All that was measured, for json.dumps."""
    return {
        "machine": machine(),
        **provenance(),
        "training": [
            {
                "work": workload.name,
                "data": remark,
                "side": side.side,
                "images_per_second": side.rates,
                "step_ms": side.step_ms,
                "ratio": ratios(timed[0], side),
                "target": workload.targets.get(side.side),
                "memory_mb": side.memory_mb,
                "start_up_seconds": side.start_up,
            }
            for workload, remark, timed in timings
            for side in timed
        ],
        "measures": [
            {"what": m.what.strip(), "values": list(m.values), "unit": m.unit, "bound": m.bound, "reached": m.reached}
            for m in measures
        ],
        "growth": [vars(point) for point in points],
        "tricks": [vars(gain) for gain in gains],
    }
