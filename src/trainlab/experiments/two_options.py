"""A sweep over two numeric options: a map of the test error, and the best of one for each value of the other.

What is best is told by the validation error, never by the test error that is reported of it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from trainlab.recording.section import Section
from trainlab.sweeps.names import shown
from trainlab.sweeps.point import alike
from trainlab.sweeps.table import SEED, VALIDATED, Group, numeric_choices, place_of, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 3  # values of each option, and seeds of a bootstrap
TESTED = "test/top1_error"
EXACT = 12  # decimals of a mean error: beyond them lies the rounding of sums, which must not break a tie
BOOTSTRAPS = 2000
SHARES = ("reg.dropout",)  # options whose steps are differences, not ratios


@dataclass(frozen=True)
class Grid:
    """The groups of a sweep by the values of two options. across: the one with more values, which is chosen for each
    value of `down`. columns, rows: their values, ascending. cells: a row for each of `rows`; None where there is no
    run.
    """

    across: str
    down: str
    columns: list[Any]
    rows: list[Any]
    cells: list[list[Group | None]]

    def mean(self, metric: str) -> np.ndarray:
        """The metric's mean in each cell, float (rows, columns); NaN where no run has it."""
        return np.array([[g.mean(metric) if g else np.nan for g in row] for row in self.cells])

    @cached_property
    def incomplete(self) -> np.ndarray:
        """Where runs are missing or have not finished, bool (rows, columns)."""
        return np.array([[g is None or bool(g.unfinished) for g in row] for row in self.cells])

    @cached_property
    def chosen(self) -> list[int | None]:
        """For each row the column with the least validation error of those that are complete; None for none."""
        errors = np.where(self.incomplete, np.nan, self.mean(VALIDATED))
        return [None if np.isnan(row).all() else int(first_least(row)) for row in errors]

    @cached_property
    def best(self) -> tuple[int, int] | None:
        """Row and column of the least validation error of all."""
        errors = self.mean(VALIDATED).round(EXACT)
        places = [(row, column) for row, column in enumerate(self.chosen) if column is not None]
        return min(places, key=lambda place: errors[place]) if places else None

    def chosen_group(self, row: int) -> Group | None:
        """The chosen cell of a row."""
        column = self.chosen[row]
        return None if column is None else self.cells[row][column]

    def chosen_by_seed(self, row: int) -> list[Any]:
        """The value that each seed would choose by its own validation errors, of the seeds that all columns have."""
        return [self.columns[column] for column in first_least(validation([self.cells[row]])[0])]

    def gain(self, row: int) -> list[float]:
        """How much less the test error of the chosen cell is than without the option (its value 0), seed by seed."""
        best, without = self.chosen_group(row), self.cells[row][0]
        if best is None or without is None or self.columns[0] != 0:
            return []
        with_it, base = by_seed(best, TESTED), by_seed(without, TESTED)
        return [base[seed] - with_it[seed] for seed in sorted(set(with_it) & set(base))]


def first_least(errors: np.ndarray) -> np.ndarray:
    """Which is the least along the first axis, NaN left out; of several that tie the first, which has the smallest
    value of the option.
    """
    return np.nanargmin(errors.round(EXACT), axis=0)


def validation(cells: Sequence[Sequence[Group | None]]) -> np.ndarray:
    """The validation errors of the seeds that all cells have, float (rows, columns, seeds)."""
    errors = [[by_seed(g, VALIDATED) if g else {} for g in row] for row in cells]
    seeds = sorted(set.intersection(*(set(of) for row in errors for of in row)))
    return np.array([[[of[seed] for seed in seeds] for of in row] for row in errors])


def by_seed(g: Group, metric: str) -> dict[str, float]:
    """The metric of each finished run, by its seed."""
    return {alike(run.config.get(SEED, run.swept.get(SEED))): run.results[metric] for run in g.finished}


def grid_of(groups: Sequence[Group]) -> Grid | None:
    """The grid of a sweep over two numeric options with at least three values each; None for any other."""
    finished = [g for g in groups if g.finished]
    keys = list(groups[0].choices)
    if len(keys) != 2 or not finished or numeric_choices(groups) != keys:
        return None
    values = {
        key: sorted({alike(g.choices[key]): g.choices[key] for g in groups}.values(), key=place_of) for key in keys
    }
    if min(map(len, values.values())) < FEWEST:
        return None
    if not all(TESTED in run.results for g in finished for run in g.finished):
        return None
    across, down = sorted(keys, key=lambda key: -len(values[key]))
    found = {(alike(g.choices[down]), alike(g.choices[across])): g for g in groups}
    cells = [[found.get((alike(row), alike(column))) for column in values[across]] for row in values[down]]
    return Grid(across, down, values[across], values[down], cells)


def section(groups: Sequence[Group]) -> Section | None:
    """The map, and for each value of one option the best of the other; None for runs that are no such sweep."""
    grid = grid_of(groups)
    if grid is None:
        return None
    head, rows = table(grid)
    return Section(
        f"{grid.across} by {grid.down}", head, rows, sentences=sentences(grid), figures={"map": lambda: figure(grid)}
    )


def table(grid: Grid) -> tuple[list[str], list[list[str]]]:
    """A row for each value of `down`: what is chosen for it, the errors there, and what each seed would choose; nothing
    where no run has a validation error.
    """
    if grid.best is None:
        return [], []
    gains = [grid.gain(row) for row in range(len(grid.rows))]
    head = [grid.down, f"chosen {grid.across}", "validation error", "test error"]
    head += [f"points below {grid.across}={plain(grid.columns[0])}", "95 % interval"] if any(gains) else []
    head += ["chosen by single seeds", "n"]
    lines = []
    for row, value in enumerate(grid.rows):
        column, g = grid.chosen[row], grid.chosen_group(row)
        if column is None or g is None:
            lines.append([plain(value), *["–"] * (len(head) - 2), "0"])
            continue
        line = [plain(value), plain(grid.columns[column])]
        line += [show(metric, g.mean(metric), g.deviation(metric)) for metric in (VALIDATED, TESTED)]
        line += [points(gains[row]), between(*interval(gains[row]), 100)] if any(gains) else []
        lines.append([*line, spread(grid.chosen_by_seed(row)), str(len(g.finished))])
    return head, lines


def sentences(grid: Grid) -> list[str]:
    """The best pair and its test error, and how what is chosen goes with the other option."""
    if grid.best is None:
        return [f"No run has a validation error, by which {grid.across} could be chosen."]
    row, column = grid.best
    g = grid.cells[row][column]
    assert g is not None
    values = f"{grid.across}={plain(grid.columns[column])} {grid.down}={plain(grid.rows[row])}"
    error = show(TESTED, g.mean(TESTED), g.deviation(TESTED))
    said = [f"least validation error with {values}: test error {error} ({len(g.finished)} seeds)"]
    found = slope(grid)
    if found is not None:
        value, *bounds = found
        chosen = f"chosen {grid.across}" if grid.across in SHARES else f"log chosen {grid.across}"
        other = f"{'log₂' if grid.across in SHARES else 'log'} {scale_of(grid.down)}"
        said.append(
            f"{chosen} against {other}: slope {signed(value)} "
            f"({between(*bounds)} in 95 % of {BOOTSTRAPS:,} bootstraps over the seeds)"
        )
    return said


def numbers(groups: Sequence[Group]) -> dict[str, float]:
    """What is chosen, by name: "chosen/test/top1_error" of the best pair, "chosen/test/top1_error/reg.l2=1" of the best
    with that value, each beside its deviation ("…_sd…"), and "chosen/optim.lr/reg.l2=1"; "gain/reg.l2=1" with its
    interval, "gain_low" and "gain_high"; "slope", "slope_low" and "slope_high".
    """
    grid = grid_of(groups)
    if grid is None or grid.best is None:
        return {}
    found: dict[str, float] = {}
    for row, value in enumerate(grid.rows):
        g, column, name = grid.chosen_group(row), grid.chosen[row], f"{grid.down}={plain(value)}"
        if g is None or column is None:
            continue
        for behind in (f"/{name}", *[""] * (row == grid.best[0])):
            found |= {f"chosen/{TESTED}{behind}": g.mean(TESTED), f"chosen/{TESTED}_sd{behind}": g.deviation(TESTED)}
        amount = grid.columns[column]
        if isinstance(amount, int | float):
            found[f"chosen/{grid.across}/{name}"] = amount
        gain = grid.gain(row)
        if gain:
            deviation = statistics.stdev(gain) if len(gain) > 1 else math.nan
            found |= {f"gain/{name}": statistics.fmean(gain), f"gain_sd/{name}": deviation}
            found |= {f"gain_{end}/{name}": bound for end, bound in zip(("low", "high"), interval(gain), strict=True)}
    found |= dict(zip(("slope", "slope_low", "slope_high"), slope(grid) or (), strict=False))
    return found


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of their mean, after Student; NaN for fewer than two."""
    count = len(differences)
    if count < 2:
        return math.nan, math.nan
    from scipy.special import stdtrit  # only here: a table needs no scipy

    mean = statistics.fmean(differences)
    half = float(stdtrit(count - 1, 0.975)) * statistics.stdev(differences) / math.sqrt(count)
    return mean - half, mean + half


def slope(grid: Grid) -> tuple[float, float, float] | None:
    """The least-squares slope of the chosen value against the other option, both by their logarithms (a share as it is,
    against the logarithm to base 2), and the bounds of 95 % of bootstraps over the seeds.

    Each bootstrap chooses anew, by the mean validation errors of as many seeds, drawn with replacement. Rows where 0 is
    chosen have no logarithm and are left out. None where a cell is incomplete, for fewer than three seeds, and for
    options that are not above 0.
    """
    scales = np.array([scale(grid.down, value) for value in grid.rows])
    columns = np.array([scale(grid.across, value) for value in grid.columns])
    if grid.best is None or grid.incomplete.any() or not (scales > 0).all() or not (columns >= 0).all():
        return None
    errors = validation(grid.cells)
    seeds = errors.shape[2]
    if seeds < FEWEST:
        return None
    draws = np.random.default_rng(0).integers(0, seeds, (BOOTSTRAPS, seeds))
    with np.errstate(divide="ignore"):
        heights = columns if grid.across in SHARES else np.log2(columns)

    def fitted(samples: np.ndarray) -> np.ndarray:
        """The slope of each row of seeds in `samples`, float (samples,)."""
        means = errors[:, :, samples].mean(-1)
        chosen = heights[first_least(means.swapaxes(0, 1))]
        known = np.isfinite(chosen)
        x, y, count = np.log2(scales)[:, None], np.where(known, chosen, 0), known.sum(0)
        with np.errstate(invalid="ignore"):  # fewer than two rows have no slope
            x = known * (x - (known * x).sum(0) / count)
            return (x * y).sum(0) / (x**2).sum(0)

    value, found = float(fitted(np.arange(seeds)[None])[0]), fitted(draws)
    found = found[np.isfinite(found)]
    if math.isnan(value) or not found.size:
        return None
    low, high = np.percentile(found, (2.5, 97.5))
    return value, float(low), float(high)


def scale(option: str, value: Any) -> float:
    """What an option's value is by size: a list of one number that number, a momentum γ the 1−γ by which it divides the
    step; NaN for what is none.
    """
    if isinstance(value, list) and len(value) == 1:
        return scale(option, value[0])
    if not isinstance(value, int | float) or isinstance(value, bool):
        return math.nan
    return 1 - value if option == "optim.momentum" else float(value)


def scale_of(option: str) -> str:
    """The name of what `scale` returns."""
    return f"(1−{option})" if option == "optim.momentum" else option


def figure(grid: Grid) -> Figure:
    """The heat map."""
    from trainlab.figures.sweeps.heat_map import Map, heat_map

    seeds = max(len(g.finished) for row in grid.cells for g in row if g)
    title = f"mean test error in % of {seeds} seeds" if seeds > 1 else "test error in %"
    note = []
    if grid.best is not None:
        note = [f"joined: for each {grid.down} the {grid.across} with least validation error; framed: the least of all"]
    curve, name = reference_line(grid)
    note += [f"dotted: {name}"] if curve else []
    note += ["*: not every seed has finished"] if grid.incomplete.any() else []
    drawn = Map(
        grid.across,
        grid.down,
        [plain(value) for value in grid.columns],
        [plain(value) for value in grid.rows],
        grid.mean(TESTED),
        grid.incomplete,
        grid.chosen,
        grid.best,
        curve,
    )
    return heat_map(drawn, title, "; ".join(note))


def reference_line(grid: Grid) -> tuple[list[float], str]:
    """Where theory expects what is chosen, in columns for each row, and its name; nothing for options without one.

    Under a constant gradient momentum adds up to steps of η/(1−γ). Beside the mean loss of n examples a strength of L2
    of λ/n is the same prior for all n. The line is that of the median over the rows.
    """
    runs = [run for row in grid.cells for g in row if g for run in g.finished]
    means = all(run.config.get("reg.form") == "mean" for run in runs)
    if (grid.across, grid.down) == ("optim.lr", "optim.momentum"):
        name, shares = "η/(1−γ)", [1 - momentum for momentum in grid.rows]
    elif (grid.across, grid.down) == ("reg.l2", "data.train_examples") and means:
        name, shares = "reg.l2 × examples", [1 / (examples or math.nan) for examples in grid.rows]
    else:
        return [], ""
    picked = [None if column is None else grid.columns[column] for column in grid.chosen]
    products = [value / share for value, share in zip(picked, shares, strict=True) if value]
    if not products or not all(share > 0 for share in shares):
        return [], ""
    product = statistics.median(products)
    return places([product * share for share in shares], grid.columns), f"{name} = {product:.3g}"


def places(values: Sequence[float], columns: Sequence[float]) -> list[float]:
    """Where values lie among the positive columns, by their logarithms: 0.5 is half way from the first to the second;
    beyond them NaN.
    """
    positive = [(math.log(column), place) for place, column in enumerate(columns) if column > 0]
    logs, numbers = zip(*positive, strict=True)
    return list(np.interp(np.log(values), logs, numbers, left=np.nan, right=np.nan))


def plain(value: Any) -> str:
    """A value as people write it: 0.001, and a list of one number as that number."""
    if isinstance(value, list) and len(value) == 1:
        return plain(value[0])
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:g}" if is_number else shown(value)


def spread(values: Sequence[Any]) -> str:
    """The middle one and the outermost: "0.1 (0.01 to 1)"."""
    if not values:
        return "–"
    ranked = sorted(values, key=place_of)
    return f"{plain(ranked[(len(ranked) - 1) // 2])} ({plain(ranked[0])} to {plain(ranked[-1])})"


def points(gain: Sequence[float]) -> str:
    """Percentage points, mean ± sample standard deviation over the seeds."""
    if not gain:
        return "–"
    text = f"{100 * statistics.fmean(gain):+.2f}" + (f" ± {100 * statistics.stdev(gain):.2f}" if len(gain) > 1 else "")
    return text.replace("-", "−")


def between(low: float, high: float, times: float = 1) -> str:
    """An interval: "−0.30 to 1.20"."""
    return "–" if math.isnan(low) else f"{signed(times * low)} to {signed(times * high)}"


def signed(value: float) -> str:
    """Two decimals, with a minus sign that is one."""
    return f"{value:.2f}".replace("-", "−")
