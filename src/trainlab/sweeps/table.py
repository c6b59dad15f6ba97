"""The results of many runs in one table, grouped over seeds. What failed or is missing is shown, never dropped."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, TypeAdapter, field_validator

from trainlab.configuration import renamed
from trainlab.configuration.stored import load_config
from trainlab.errors import InputError
from trainlab.recording.point import POINT, Point, load_point
from trainlab.recording.run_directory import CONFIG, LARGEST, load_results, load_rows, read_json
from trainlab.sweeps.launch import SWEEP
from trainlab.sweeps.names import shown
from trainlab.sweeps.point import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    NEW,
    NOT_COMPARED,
    alike,
    flat,
    is_of_the_code,
    load_status,
    state_of,
)

MISSING, DAMAGED = "missing", "damaged"
SEED = "seed"
VALIDATED = "best/val/top1_error"
SKLEARN = "sklearn/top1_error"
LONGEST_NAME = 255  # bytes, of a file system
NOT_A_CHOICE = (*NOT_COMPARED, SEED)


@dataclass(frozen=True)
class Run:
    """One run, finished or not. error: of one that failed, or what is damaged. config: flat and resolved. swept: the
    options that its sweep varies. The values come from files: they are data, of any type.
    """

    folder: Path
    state: str
    error: str
    config: dict[str, Any]
    swept: dict[str, Any]
    results: dict[str, Any]


@dataclass(frozen=True)
class Group:
    """The runs that differ in nothing but the seed."""

    choices: dict[str, Any]
    runs: list[Run] = field(default_factory=list)

    @property
    def finished(self) -> list[Run]:
        """The runs that have results."""
        return [run for run in self.runs if run.state == FINISHED]

    def values(self, metric: str) -> list[float]:
        """The metric of each finished run that has it."""
        found = [run.results.get(metric) for run in self.finished]
        return [float(value) for value in found if isinstance(value, int | float) and abs(value) < LARGEST]

    def mean(self, metric: str) -> float:
        """The mean of a metric over the finished runs; NaN where none has it."""
        values = self.values(metric)
        return statistics.fmean(values) if values else math.nan

    def deviation(self, metric: str) -> float:
        """The sample standard deviation of a metric over the finished runs; NaN for fewer than two."""
        values = self.values(metric)
        return statistics.stdev(values) if len(values) > 1 else math.nan

    @property
    def unfinished(self) -> str:
        """How many runs are not finished, in words: "1 failed, 2 missing"; empty where all are."""
        states = [run.state for run in self.runs if run.state != FINISHED]
        return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def gather(folders: Sequence[Path]) -> list[Run]:
    """The runs in `folders`: run directories, sweeps, or folders of either. Raises InputError where there are none."""
    runs: dict[Path, Run] = {}
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder", hint="name run directories or sweeps, such as runs/sweeps/NAME")
        found: dict[Path, dict[str, Any]] = {}
        for sweep in sorted(folder.rglob(SWEEP)):
            found |= {sweep.parent / name: swept for name, swept in points_of(sweep).items()}
        for path in sorted(folder.rglob(POINT)):
            found.setdefault(path.parent, {})
        for path in sorted(folder.rglob(str(CONFIG))):
            found.setdefault(path.parent.parent, {})
        for run_dir, swept in found.items():
            if "set_aside" not in run_dir.parts:
                runs.setdefault(run_dir.resolve(), read_run(run_dir, swept))
    if not runs:
        raise InputError(f"there are no runs in {', '.join(map(str, folders))}.")
    return list(runs.values())


class Listed(BaseModel):
    """A sweep.json, as far as it is read."""

    model_config = ConfigDict(strict=True)
    points: dict[str, dict[str, Any]]

    @field_validator("points")
    @classmethod
    def _inside(cls, points: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name in points:
            if name in ("", ".", "..") or "/" in name or "\0" in name or len(name.encode()) > LONGEST_NAME:
                raise ValueError(f"{name[:80]!r} is no name of a point, which is that of a folder in the sweep's")
        return points


def points_of(sweep: Path) -> dict[str, dict[str, Any]]:
    """The swept values of each point of a sweep, by the point's name. Raises InputError."""
    try:
        listed = read_json(sweep, TypeAdapter(Listed))
    except InputError as error:
        raise InputError(str(error).removesuffix("."), hint="the sweep's command writes it anew") from error
    return {name: renamed.in_values(swept) for name, swept in listed.points.items()} if listed else {}


def read_run(run_dir: Path, swept: dict[str, Any]) -> Run:
    """The run in a directory. swept: what its sweep says of it, for a directory that is not there any more."""
    point: Point | None = None
    config: dict[str, Any] = {}
    try:
        point, results = load_point(run_dir), load_results(run_dir)
        config = point.config if point else config_of(run_dir)
        if results is None:
            load_status(run_dir)
        load_rows(run_dir)
    except InputError as error:
        return Run(run_dir, DAMAGED, str(error), flat(config), point.swept if point else swept, {})
    status = state_of(run_dir)
    state = MISSING if status.state == NEW else status.state
    return Run(run_dir, state, status.error, flat(config), point.swept if point else swept, results or {})


def config_of(run_dir: Path) -> dict[str, Any]:
    """The resolved configuration in a run's directory; empty where there is none. Raises InputError."""
    cfg = load_config(run_dir / CONFIG)
    return {} if cfg is None else OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def has_regions(run: Run) -> bool:
    """Whether it is a finished run on points of the plane, whose decision regions can be drawn."""
    return run.config.get("data.name") in ("moons", "circles", "linear") and bool(run.results)


def choices_of(runs: Sequence[Run]) -> list[str]:
    """The options that tell the runs apart, seeds left aside: what the sweep varies, else what differs.

    A group whose choice differs (model, data) stands for all its options; an ablation, for the options that follow it.
    """
    swept = {tuple(run.swept) for run in runs if run.config}
    keys = list(dict.fromkeys(key for run in runs for key in run.swept))
    if len(swept) > 1 or swept == {()}:
        known = [run.config for run in runs if run.config]
        everything = dict.fromkeys(key for config in known for key in config if not is_of_the_code(key))
        differs = [key for key in everything if len({alike(config.get(key)) for config in known}) > 1]
        groups = [key.removesuffix(".name") for key in differs if key.endswith(".name")]
        values = [key for key in differs if key.split(".")[0] not in (*groups, "recipe")]
        if "ablation" in groups:
            values = [key for key in values if not _follows(key, "ablation.name", known)]
        keys = list(dict.fromkeys([*keys, *groups, *values]))
    return [key for key in keys if key.split(".")[0] not in NOT_A_CHOICE]


def _follows(key: str, chosen: str, configs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the value of `chosen` settles that of `key`."""
    pairs = {(alike(config.get(chosen)), alike(config.get(key))) for config in configs}
    return len(pairs) == len({of for of, _ in pairs})


def numeric_choices(groups: Sequence[Group]) -> list[str]:
    """The choices that have an order, of which there is more than one value."""
    numeric = [key for key in groups[0].choices if all(is_amount(g.choices[key]) for g in groups)]
    return [key for key in numeric if len({alike(g.choices[key]) for g in groups}) > 1]


def is_amount(value: Any) -> bool:
    """Whether values like this have an order that a figure's axis can show: numbers, lists of them, and null."""
    if isinstance(value, list):
        return all(map(is_amount, value))
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST)


def group(runs: Sequence[Run]) -> list[Group]:
    """The runs in groups that differ in nothing but the seed, in the order in which the choices first appear."""
    keys = choices_of(runs)
    groups: dict[tuple[str, ...], Group] = {}
    for run in runs:
        choices = {key: run.swept.get(key, run.config.get(key, run.config.get(f"{key}.name"))) for key in keys}
        same = tuple(alike(value) for value in choices.values())
        groups.setdefault(same, Group(choices)).runs.append(run)
    return list(groups.values())


def distinct(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs in two lists: those that count, and those that repeat the configuration and seed of another, which
    would be counted twice.
    """
    kept: dict[str, Run] = {}
    again = []
    for run in sorted(runs, key=lambda run: run.state != FINISHED):
        told = {k: v for k, v in run.config.items() if k.split(".")[0] not in NOT_COMPARED}
        name = repr(sorted((key, alike(value)) for key, value in told.items())) if told else str(run.folder)
        if name in kept:
            again.append(run)
        else:
            kept[name] = run
    return [run for run in runs if run not in again], again


def default_metrics(groups: Sequence[Group]) -> list[str]:
    """The metrics of a table where none are named: the validation value that chose the checkpoint, the test errors,
    and how soon a target was reached, where there is one.
    """
    there = {name for g in groups for run in g.finished for name in run.results}
    best = sorted(name for name in there if name.startswith("best/") and not name.endswith("loss"))
    names = [*best, "test/top1_error", "test/top1_error_tencrop", SKLEARN]
    if "target" in there:
        names = ["last/epoch", "last/training_seconds", *names]
    return [name for name in names if name in there]


def check_names(names: Sequence[str], groups: Sequence[Group]) -> None:
    """Raises InputError for what is neither a result nor an option that varies."""
    known = sorted({name for g in groups for run in g.finished for name in run.results})
    for name in names:
        if name not in known and name not in groups[0].choices:
            raise InputError(f"no run has a result called {name}", hint=f"there are {', '.join(known) or 'none, yet'}")


def sorted_groups(runs: Sequence[Run], metrics: Sequence[str], sort: str | None) -> list[Group]:
    """The groups of the runs in the order of `sort`, a metric or a choice; of test/top1_error where it is None.

    metrics: those that are asked for beside the usual ones. Raises InputError for names that no run has.
    """
    groups = group(runs)
    check_names([*metrics, *([sort] if sort else [])], groups)
    return ordered(groups, sort or "test/top1_error")


def ordered(groups: Sequence[Group], by: str) -> list[Group]:
    """The groups in ascending order of a metric's mean or of a choice; groups without it come last. Data sets stay
    apart.
    """
    sets = list(dict.fromkeys(shown(g.choices.get("data")) for g in groups))

    def key(g: Group) -> tuple[int, Any]:
        place = place_of(g.choices[by]) if by in g.choices else place_of(g.mean(by))
        return sets.index(shown(g.choices.get("data"))), place

    return sorted(groups, key=key)


def place_of(value: Any) -> tuple[int, Any]:
    """A sort key for values of any kind: numbers, lists by their first values, words, truths, null, the rest, and
    what is not a number.
    """
    if isinstance(value, bool):
        return 3, value
    if isinstance(value, int | float):
        return (6, 0) if math.isnan(value) else (0, value)
    if isinstance(value, list):
        return 1, [place_of(item) for item in value]
    if isinstance(value, str):
        return 2, value
    return (4, 0) if value is None else (5, shown(value))


def show(metric: str, mean: float, deviation: float) -> str:
    """A metric as people read it: mean ± standard deviation, errors in percent."""
    if math.isnan(mean):
        return "–"
    if metric.endswith("_error") or "_error_" in metric:
        spread = "" if math.isnan(deviation) else f" ± {100 * deviation:.2f}"
        return f"{100 * mean:.2f}{spread} %"
    return f"{mean:.4g}" + ("" if math.isnan(deviation) else f" ± {deviation:.2g}")


def cells(groups: Sequence[Group], metrics: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The headings and rows of a table, as people read them."""
    keys = list(groups[0].choices)
    unfinished = any(g.unfinished for g in groups)
    head = [*keys, *metrics, "n", *(["not finished"] if unfinished else [])]
    rows = []
    for g in groups:
        row = [shown(g.choices[key]) for key in keys]
        row += [show(metric, g.mean(metric), g.deviation(metric)) for metric in metrics]
        row += [str(len(g.finished)), *([g.unfinished] if unfinished else [])]
        rows.append(row)
    return head, rows


def as_markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def as_csv(groups: Sequence[Group], metrics: Sequence[str]) -> str:
    """The table for programs: means, sample standard deviations and counts in columns of their own, fractions as they
    are.
    """
    out = io.StringIO()
    names = [f"{metric}:{what}" for metric in metrics for what in ("mean", "deviation")]
    states = (FINISHED, FAILED, INTERRUPTED, MISSING, DAMAGED)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*groups[0].choices, *names, *states])
    for g in groups:
        numbers = [value for metric in metrics for value in (g.mean(metric), g.deviation(metric))]
        writer.writerow(
            [shown(value) for value in g.choices.values()]
            + ["" if math.isnan(value) else repr(value) for value in numbers]
            + [sum(run.state == state for run in g.runs) for state in states]
        )
    return out.getvalue()
