"""scripts/report.py: one table of many runs, and their figures."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trainlab.command.arguments import Arguments
from trainlab.errors import InputError
from trainlab.experiments import ablation, time_to_target, two_options
from trainlab.figures.style import save_series
from trainlab.recording.section import Section
from trainlab.recording.terminal import console, printable
from trainlab.survival.atomic import atomic_write
from trainlab.sweeps.drawing import draw
from trainlab.sweeps.point import FAILED, FINISHED
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
    sorted_groups,
)


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
    runs = with_references(runs, out)
    groups = sorted_groups(runs, options.metric, options.sort)
    metrics = [*default_metrics(groups), *options.metric]
    title = f"{len(runs)} runs, mean ± sample standard deviation over seeds"
    sections = [Section(title, *cells(groups, metrics)), *sections_of(groups)]
    shown_table = next(section for section in reversed(sections) if section.rows)  # an experiment's own, if it has one
    said = [sentence for section in sections for sentence in section.sentences]
    markdown, comma = as_markdown(shown_table.head, shown_table.rows), as_csv(groups, metrics)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        atomic_write(out / "table.md", markdown + "".join(f"\n{line}\n" for line in said))
        atomic_write(out / "table.csv", comma)

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


def with_references(runs: Sequence[Run], out: Path) -> list[Run]:
    """The runs, scikit-learn's error beside ours for networks on points of the plane. out: where it is kept. Raises
    InputError.
    """
    if not any(map(has_regions, runs)):
        return list(runs)
    from trainlab.experiments import scikit_learn  # loads torch, which other reports need not wait for

    said = "scikit-learn's networks beside ours are trained; the next report knows them already"
    with writing(out), Console(stderr=True).status(said):
        return scikit_learn.with_references(runs, out)


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Inside, files are written into `out`. Raises InputError where that cannot be done."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{out} cannot be written ({error.strerror})", hint="choose another folder with --out"
        ) from error


def sections_of(groups: Sequence[Group]) -> list[Section]:
    """What the experiments that these runs belong to have to report."""
    found = [experiment.section(groups) for experiment in (ablation, time_to_target, two_options)]
    runs = [run for g in groups for run in g.finished]
    choices = list(groups[0].choices)
    if runs and all(has_regions(run) for run in runs) and len(choices) == 2 and "data" in choices:
        from trainlab.experiments import decision_regions  # loads torch, which other reports need not wait for

        found.append(decision_regions.section(runs, "data", next(key for key in choices if key != "data")))
    return [section for section in found if section is not None]
