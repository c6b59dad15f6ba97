"""scripts/report.py: one table of many runs, and their figures."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table

from trainlab.command.arguments import Arguments
from trainlab.errors import InputError
from trainlab.experiments import ablation, time_to_target
from trainlab.figures import sweep as figures
from trainlab.figures.style import save, save_series, shorten
from trainlab.recording.run_directory import LARGEST, read_rows
from trainlab.recording.section import Section
from trainlab.recording.terminal import console, printable
from trainlab.survival.atomic import atomic_write
from trainlab.sweeps.names import clean, shown
from trainlab.sweeps.point import FAILED, FINISHED, alike
from trainlab.sweeps.section import write_section
from trainlab.sweeps.table import (
    DAMAGED,
    Group,
    Run,
    as_csv,
    as_markdown,
    cells,
    default_metrics,
    distinct,
    gather,
    group,
    has_regions,
    ordered,
    place_of,
    sorted_groups,
)

VALIDATED = "best/val/top1_error"
MOST_CURVES = 10
LONGEST_TICK, LONGEST_NAME = 24, 80  # characters of a value at an axis, and of a curve's name


def report(arguments: Sequence[str]) -> None:
    """Write table.csv, table.md, section.json and figures/ into --out (the first folder), and print the table.

    With --html or --lecture, that page instead. Raises InputError.
    """
    options = parse(arguments)
    folders = [Path(folder) for folder in options.folders]
    if options.figures:
        draw_runs(folders)
    if options.html or options.lecture:
        write_pages(options, folders)
        return
    out = Path(options.out or folders[0])
    runs, again = distinct(gather(folders))
    runs = [with_reference(run) for run in runs]
    groups = sorted_groups(runs, options.metric, options.sort)
    metrics = [*default_metrics(groups), *options.metric]
    title = f"{len(runs)} runs, mean ± sample standard deviation over seeds"
    sections = [Section(title, *cells(groups, metrics)), *sections_of(groups)]
    shown_table = next(section for section in reversed(sections) if section.rows)  # an experiment's own, if it has one
    said = [sentence for section in sections for sentence in section.sentences]
    markdown, comma = as_markdown(shown_table.head, shown_table.rows), as_csv(groups, metrics)
    try:
        out.mkdir(parents=True, exist_ok=True)
        atomic_write(out / "table.md", markdown + "".join(f"\n{line}\n" for line in said))
        atomic_write(out / "table.csv", comma)
    except OSError as error:
        raise InputError(
            f"{out} cannot be written ({error.strerror})", hint="choose another folder with --out"
        ) from error

    terminal = console()
    if options.table == "markdown":
        print(markdown, end="")
    elif options.table == "csv":
        print(comma, end="")
    else:
        table = Table(title=title, title_justify="left")
        for name in shown_table.head:
            table.add_column(name, justify="right", overflow="fold")
        for row in shown_table.rows:
            table.add_row(*row)
        terminal.print(table)
        for line in said:
            terminal.print(line, soft_wrap=True)
        for run in again:
            terminal.print(f"left out, the same run as another: {os.path.relpath(run.folder)}", soft_wrap=True)
        for run in runs:
            if run.state != FINISHED:
                why = f": {printable(run.error)}" if run.error and run.state in (FAILED, DAMAGED) else ""
                terminal.print(f"{run.state}: {os.path.relpath(run.folder)}{why}", soft_wrap=True)
    finished = [g for g in group(runs) if g.finished]
    drawn = draw(finished, sections, out / "figures")
    if finished:
        series = [listed for section in sections for listed in save_series(section.series, out / "figures")]
        write_section(out, finished, sections, drawn, series)
    if options.table in (None, "text"):
        written = [out / "table.csv", out / "table.md", *drawn]
        terminal.print("written: " + ", ".join(os.path.relpath(path) for path in written), soft_wrap=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of scripts/report.py. Raises InputError."""
    parser = Arguments(
        prog="python scripts/report.py",
        description="The results of runs and sweeps in one table, grouped over seeds, and their figures.",
    )
    parser.add_argument("folders", nargs="*", metavar="DIR", help="run directories, sweeps, or folders of either")
    parser.add_argument(
        "--table", nargs="?", const="text", choices=("text", "csv", "markdown"), help="how to print it (text)"
    )
    parser.add_argument("--metric", action="append", default=[], metavar="NAME", help="one more column of results.json")
    parser.add_argument("--sort", metavar="NAME", help="a metric or a swept option (test/top1_error)")
    parser.add_argument("--figures", action="store_true", help="draw first the figures of each run that has none")
    parser.add_argument("--out", metavar="DIR", help="where to write (the first DIR)")
    parser.add_argument("--html", metavar="FILE", help="write one page to look at in a browser, instead of all these")
    parser.add_argument("--lecture", metavar="FILE", help="the same of the lecture, from all in the DIRs (runs)")
    parser.add_argument("--open", action="store_true", help="with --html or --lecture: show it in the browser")
    parser.add_argument("--watch", action="store_true", help="with --html: keep it up to date while runs go on")
    options = parser.parse_args(list(arguments))
    check_combination(options)
    return options


def check_combination(options: argparse.Namespace) -> None:
    """Raises InputError for options that mean nothing beside each other."""
    page = "html" if options.html else "lecture" if options.lecture else None
    if options.html and options.lecture:
        raise InputError("--html and --lecture are two pages", hint="write one after the other")
    if not options.folders and page != "lecture":
        raise InputError("no runs are named", hint="name run directories, sweeps, or folders of either, such as runs")
    if options.watch and page != "html":
        raise InputError("--watch is about the page of runs", hint="add --html FILE, or leave --watch out")
    if options.open and page is None:
        raise InputError("--open is about a page", hint="add --html FILE or --lecture FILE, or leave --open out")
    useless = ("table", "out") if page == "html" else ("table", "out", "metric", "sort") if page else ()
    for name in useless:
        if getattr(options, name):
            raise InputError(
                f"--{page} writes the page and nothing else, so --{name} means nothing", hint="leave one out"
            )


def draw_runs(folders: Sequence[Path]) -> None:
    """Draw the figures of the runs that have none. Raises InputError."""
    from trainlab.command.evaluation import draw_missing  # loads torch, which other reports need not wait for

    draw_missing(folders)


def write_pages(options: argparse.Namespace, folders: Sequence[Path]) -> None:
    """The page of runs, or of the lecture. Raises InputError."""
    from trainlab.pages import command  # only here: a table needs no page

    if options.lecture:
        command.write_lecture_page(folders, Path(options.lecture), opens=options.open)
    else:
        page = {"metrics": options.metric, "sort": options.sort, "opens": options.open, "watches": options.watch}
        command.write_page(folders, Path(options.html), **page)


def with_reference(run: Run) -> Run:
    """scikit-learn's error beside ours, for networks on points of the plane."""
    if not has_regions(run):
        return run
    from trainlab.experiments import decision_regions  # loads torch, which other reports need not wait for

    error = decision_regions.reference_error(run)
    return run if error is None else replace(run, results=run.results | {"sklearn/top1_error": error})


def sections_of(groups: Sequence[Group]) -> list[Section]:
    """What the experiments that these runs belong to have to report."""
    found = [experiment.section(groups) for experiment in (ablation, time_to_target)]
    runs = [run for g in groups for run in g.finished]
    choices = list(groups[0].choices)
    if runs and all(has_regions(run) for run in runs) and len(choices) == 2 and "data" in choices:
        from trainlab.experiments import decision_regions  # loads torch, which other reports need not wait for

        found.append(decision_regions.section(runs, "data", next(key for key in choices if key != "data")))
    return [section for section in found if section is not None]


def draw(groups: Sequence[Group], sections: Sequence[Section], folder: Path) -> list[Path]:
    """The figures that these runs can have, those of their experiments among them; returns what was written."""
    groups = [g for g in groups if g.finished]
    if not groups:
        return []
    numeric = numeric_choices(groups)
    drawn = {f"error_against_{clean(key.replace('.', '_'))}": against(key, groups) for key in numeric}
    for section in sections:
        made = {name: make() for name, make in section.figures.items()}
        drawn |= {name: figure for name, figure in made.items() if figure is not None}
    curves = draw_curves(groups, numeric)
    drawn |= {"curves": curves} if curves else {}
    paths = []
    for name, drawing in drawn.items():
        paths.append(folder / f"{name}.png")
        save(drawing, paths[-1])
    return paths


def numeric_choices(groups: Sequence[Group]) -> list[str]:
    """The choices that have an order, of which there is more than one value."""
    numeric = [key for key in groups[0].choices if all(is_amount(g.choices[key]) for g in groups)]
    return [key for key in numeric if len({alike(g.choices[key]) for g in groups}) > 1]


def draw_curves(groups: Sequence[Group], numeric: Sequence[str]) -> figures.Figure | None:
    """The error over the epochs, a curve for each group; None for too many, or for runs without rows."""
    first, choices = groups[0].finished[0], groups[0].choices
    monitored = "train/top1_error" if "target" in first.results else "val/top1_error"
    if not any(monitored in row for row in read_rows(first.folder)):
        monitored = "train/top1_error"
    timed = time_to_target.times_to_target(groups)
    drawn_groups = [c.best for c in timed[1]] if timed else groups
    if len(drawn_groups) > MOST_CURVES:
        return None
    named: Callable[[Group], str] = ablation.change if ablation.is_ablation(groups) else label
    natural = ordered(drawn_groups, numeric[0]) if len(choices) == 1 and numeric else drawn_groups
    names = [named(g) for g in natural]
    short = [shorten(name, LONGEST_NAME) for name in names]
    names = short if len(set(short)) == len(set(names)) else names
    curves = {name: [curve(run, monitored) for run in g.finished] for name, g in zip(names, natural, strict=True)}
    if not any(epochs for of_group in curves.values() for epochs, _ in of_group):
        return None
    return figures.curves_of(
        {"train/top1_error": "training error", "val/top1_error": "validation error"}[monitored],
        curves,
        target=first.results.get("target"),
        ordered=len(choices) == 1 and bool(numeric),
    )


def against(key: str, groups: Sequence[Group]) -> figures.Figure:
    """Errors and weight norms against the values of option `key`; a line for each combination of the others."""
    values = sorted({alike(g.choices[key]): g.choices[key] for g in groups}.values(), key=place_of)
    others = list(dict.fromkeys(label(g, without=key) for g in groups))
    metrics = {"test/top1_error": "test"}
    if len(others) == 1:
        metrics = {"last/train/top1_error": "training", VALIDATED: "validation", "test/top1_error": "test"}
        if not all(VALIDATED in run.results for g in groups for run in g.finished):
            metrics.pop(VALIDATED)

    def series(metric: str, other: str, name: str) -> figures.Series:
        found = {alike(g.choices[key]): g for g in groups if label(g, without=key) == other}
        some = [found.get(alike(value)) for value in values]
        return figures.Series(
            name,
            [g.mean(metric) if g else float("nan") for g in some],
            [g.deviation(metric) if g else float("nan") for g in some],
        )

    errors = [series(metric, other, other or name) for other in others for metric, name in metrics.items()]
    norms = [series("last/weight_norm", other, other) for other in others]
    seeds = max(len(g.finished) for g in groups)
    ticks = [
        value if isinstance(value, int | float) else drawable(shorten(shown(value), LONGEST_TICK)) for value in values
    ]
    return figures.errors_against(drawable(key), ticks, errors, norms, runs=seeds)


def is_amount(value: Any) -> bool:
    """Whether values like this have an order that a figure's axis can show: numbers, lists of them, and null."""
    if isinstance(value, list):
        return all(map(is_amount, value))
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST)


def label(g: Group, without: str = "") -> str:
    """ "relu, optim.lr=0.03": values that are words stand for themselves."""
    said = {key: value for key, value in g.choices.items() if key != without}
    return drawable(
        ", ".join(
            shown(value)
            if isinstance(value, str)
            else f"{key}={value:g}"
            if isinstance(value, float)
            else f"{key}={shown(value)}"
            for key, value in said.items()
        )
    )


def drawable(text: str) -> str:
    """A text for a figure, in which what stands between two dollars is no formula."""
    return text.replace("$", r"\$")


def curve(run: Run, metric: str) -> tuple[list[float], list[float]]:
    """Epochs, and the values of a metric in a run's metrics.csv; without those that are not finite."""
    rows = [row for row in read_rows(run.folder) if abs(row.get(metric, math.nan)) < LARGEST]
    return [row["epoch"] for row in rows], [row[metric] for row in rows]
