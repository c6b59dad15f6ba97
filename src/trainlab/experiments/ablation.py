"""The table of experiment=alexnet_ablation: what each trick is worth here, in the paper and in the logs of 2012."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainlab.recording.run_directory import LARGEST
from trainlab.recording.section import Section
from trainlab.sweeps.names import shown
from trainlab.sweeps.table import SEED, Group, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHOLE = "none"  # the choice of conf/ablation that takes nothing away
VIEWS = {10: "ten", 5: "five"}
# ILSVRC-2010, one view instead of ten: 39.0/18.3 against 37.5/17.0 % (§4.1); the logs: 39.02/18.30, 37.47/17.00.
PUBLISHED_TEN_CROPS, LOGGED_TEN_CROPS = (1.5, 1.3), (1.55, 1.30)


@dataclass(frozen=True)
class Row:
    """One row of the table. change: what was done to the recipe, in words. top1, top5: mean and standard deviation of
    the error, fractions. worth: points of top-1 and of top-5 error above the whole recipe, mean and deviation over
    the seeds that both have. paper, logs: published points, NaN where none.
    """

    change: str
    top1: tuple[float, float]
    top5: tuple[float, float]
    worth: tuple[tuple[float, float], tuple[float, float]]
    paper: tuple[float, float]
    logs: tuple[float, float]
    n: int
    unfinished: str


def is_ablation(groups: Sequence[Group]) -> bool:
    """Whether these are runs of the ablation, with the whole recipe among them."""
    return all(list(g.choices) == ["ablation"] for g in groups) and any(
        g.choices["ablation"] == WHOLE and g.finished for g in groups
    )


def section(groups: Sequence[Group]) -> Section | None:
    """The table and its figure; None for other runs, and without the whole recipe to compare with."""
    if not is_ablation(groups):
        return None
    rows = rows_of(groups)
    head, lines = cells(rows)
    return Section("what each trick is worth", head, lines, figures={"ablation": lambda: figure(rows)})


def figure(rows: Sequence[Row]) -> Figure:
    """A bar for each change, with the paper's figure beside it."""
    from trainlab.figures.sweeps.ablation import worth

    changed = [row for row in rows if row.change != WHOLE and not math.isnan(row.worth[0][0])]
    return worth(
        [row.change for row in changed],
        [row.worth[0][0] for row in changed],
        [row.worth[0][1] for row in changed],
        [row.paper[0] for row in changed],
        runs=max(row.n for row in rows),
    )


def rows_of(groups: Sequence[Group]) -> list[Row]:
    """The rows of the table: the whole recipe first, then the changes, the one that is worth most first."""
    whole = next(g for g in groups if g.choices["ablation"] == WHOLE)
    views = "_tencrop" if any("test/top1_error_tencrop" in run.results for run in whole.finished) else ""
    rows = [_row(change(g), g, whole, views, views, _published(g, "paper"), _published(g, "logs")) for g in groups]
    if views:  # a row of its own: the whole recipe, tested without ten crops
        count = next(int(run.results.get("views", 10)) for run in whole.finished)
        rows.append(
            _row(
                f"one view, not {VIEWS.get(count, count)}",
                whole,
                whole,
                "",
                views,
                PUBLISHED_TEN_CROPS,
                LOGGED_TEN_CROPS,
            )
        )
    return sorted(rows, key=lambda row: (row.change != WHOLE, math.isnan(row.worth[0][0]), -row.worth[0][0]))


def _row(
    change: str,
    g: Group,
    whole: Group,
    views: str,
    whole_views: str,
    paper: tuple[float, float],
    logs: tuple[float, float],
) -> Row:
    keys = [f"test/top{k}_error" for k in (1, 5)]
    errors = [(g.mean(key + views), g.deviation(key + views)) for key in keys]
    worth = [_difference(g, key + views, whole, key + whole_views) for key in keys]
    return Row(change, errors[0], errors[1], (worth[0], worth[1]), paper, logs, len(g.finished), g.unfinished)


def _difference(g: Group, metric: str, whole: Group, whole_metric: str) -> tuple[float, float]:
    """Seed by seed, in points; mean and sample standard deviation."""
    ours = {run.results.get(SEED): run.results[metric] for run in g.finished if metric in run.results}
    theirs = {run.results.get(SEED): run.results[whole_metric] for run in whole.finished if whole_metric in run.results}
    found = [100 * (ours[seed] - theirs[seed]) for seed in ours if seed in theirs]
    mean = statistics.fmean(found) if found else math.nan
    return mean, statistics.stdev(found) if len(found) > 1 else math.nan


def change(g: Group) -> str:
    """The change in words, as its YAML says it; its name where that says nothing."""
    said = next((run.config.get("ablation.change") for run in g.runs if run.config), None)
    return said if isinstance(said, str) and said else shown(g.choices["ablation"])


def _published(g: Group, where: str) -> tuple[float, float]:
    said = next((run.config.get(f"ablation.{where}") for run in g.runs if run.config), None)
    if not isinstance(said, list) or len(said) != 2:
        return math.nan, math.nan
    top1, top5 = (float(v) if isinstance(v, int | float) and abs(v) < LARGEST else math.nan for v in said)
    return top1, top5


def cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows, as people read them; no top-5 error where there are five classes or fewer."""
    with_top5 = any(not math.isnan(row.top5[0]) for row in rows)
    unfinished = any(row.unfinished for row in rows)
    head = ["change", "top-1 error", *(["top-5 error"] if with_top5 else []), "top-1 points"]
    head += [*(["top-5 points"] if with_top5 else []), "paper", "2012 logs", "n"]
    head += ["not finished"] if unfinished else []
    lines = []
    for row in rows:
        whole = row.change == WHOLE
        line = [row.change, show("top1_error", *row.top1)]
        line += [show("top5_error", *row.top5)] if with_top5 else []
        line += [_points(*worth, whole) for worth in row.worth[: 1 + with_top5]]
        line += [_pair(row.paper), _pair(row.logs), str(row.n), *([row.unfinished] if unfinished else [])]
        lines.append(line)
    return head, lines


def _points(mean: float, deviation: float, whole: bool) -> str:
    if whole or math.isnan(mean):
        return "–"
    return f"{mean:+.2f}" + ("" if math.isnan(deviation) else f" ± {deviation:.2f}")


def _pair(values: tuple[float, float]) -> str:
    """ "+1.4 / +1.2": top-1 and top-5."""
    if all(math.isnan(value) for value in values):
        return "–"
    return " / ".join("–" if math.isnan(value) else f"{value:+g}" for value in values)
