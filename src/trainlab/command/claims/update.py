"""New figures into a claim's file, and one row for each run into docs/results/NAME.csv."""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trainlab.command.claims.check import ROOT, Verdict, found_in
from trainlab.configuration.evidence import Conditions, Evidence
from trainlab.errors import InputError
from trainlab.survival.atomic import atomic_write
from trainlab.sweeps.names import shown
from trainlab.sweeps.table import SEED, Group

DIGITS = 6  # of a figure in a file; the rows have all


def write_figures(evidence: Evidence, verdict: Verdict, machine: str) -> list[Path]:
    """Write what a check has found into the claim's file and its rows into docs/results/; returns the files."""
    files = [evidence.file]
    conditions = Conditions(
        date=datetime.date.today(),
        commit=(verdict.commit or "").removesuffix("+changes")[:12] or None,
        machine=machine,
        precision=verdict.precision or evidence.conditions.precision,  # type: ignore[arg-type, union-attr]
    )
    found = {one.metric: one for one in verdict.figures if one.now is not None}
    figures = {}
    for metric, figure in evidence.measured.items():
        if metric not in found:
            raise InputError(f"{evidence.name}: {metric} was not measured; take it out of {evidence.file.name} first.")
        one = found[metric]
        kept = figure.model_dump(exclude_none=True, exclude_defaults=True)
        measured = {"mean": rounded(one.now), "deviation": rounded(one.deviation), "n": one.n}
        kept = {
            k: v for k, v in kept.items() if k not in measured and not (k == "within" and one.deviation is not None)
        }
        figures[metric] = {k: v for k, v in measured.items() if v is not None and (k, v) != ("n", 1)} | kept
    text = evidence.file.read_text(encoding="utf-8")
    atomic_write(evidence.file, with_figures(text, conditions.model_dump(), figures, evidence.file.name))
    if not evidence.is_study:
        groups = found_in(evidence, Path(verdict.folder)).groups
        files.append(rows_file(evidence.name))
        atomic_write(files[-1], rows_of(groups, list(evidence.measured)))
    return files


def rows_file(name: str) -> Path:
    """Where the runs of a claim stand, one row each."""
    return ROOT / "docs" / "results" / f"{name}.csv"


def has_rows(name: str) -> bool:
    """Whether there is such a file, and not one of means from before."""
    file = rows_file(name)
    return file.is_file() and SEED in file.read_text(encoding="utf-8").partition("\n")[0].split(",")


def rounded(value: float | None) -> float | None:
    """With as many digits as a file has."""
    return None if value is None else float(f"{value:.{DIGITS}g}")


def with_figures(text: str, conditions: Mapping[str, Any], figures: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """The text of a claim's file with other conditions and figures, each of which stands on one line; all else stays
    as it is. Raises InputError where it is written in another way.
    """
    text = with_line(text, "conditions", conditions, name)
    block = re.search(r"^( *)measured:\n(?:\1 +.*\n)+", text, re.MULTILINE)
    if block is None:
        raise InputError(f"{name}: there is no 'measured:' with a figure on each line below it.")
    inner = block[0]
    for metric, values in figures.items():
        inner = with_line(inner, metric, values, name)
    return text[: block.start()] + inner + text[block.end() :]


def with_line(text: str, key: str, values: Mapping[str, Any], name: str) -> str:
    """A text in which the one line of `key` has these values. Raises InputError."""
    line = re.compile(rf"^( *){re.escape(flow(key))}: \{{.*\}}$", re.MULTILINE)
    text, times = line.subn(lambda found: f"{found[1]}{flow(key)}: {flow(values)}", text)
    if times != 1:
        raise InputError(f"{name}: {key} is not on one line as '{flow(key)}: {{…}}'; write it so.")
    return text


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    plain = dict(value) if isinstance(value, Mapping) else value
    text = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def rows_of(groups: Sequence[Group], names: Sequence[str]) -> str:
    """A table for programs: the choices, the seed and the results that figures are of, one row a run. names: those of
    the figures.
    """
    there = sorted({name for g in groups for run in g.finished for name in run.results})
    used = [metric for metric in there if any(is_of(name, metric) for name in names)]
    choices = list(groups[0].choices)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*choices, SEED, *used])
    for g in groups:
        for run in sorted(g.finished, key=lambda run: run.config.get(SEED, 0)):
            values = [run.results.get(metric, "") for metric in used]
            writer.writerow([*(shown(g.choices[key]) for key in choices), run.config.get(SEED, ""), *values])
    return out.getvalue()


def is_of(name: str, metric: str) -> bool:
    """Whether a figure's name is that of a metric, with or without the choices behind it."""
    name = name.removeprefix("soonest/")
    return name == metric or name.startswith(f"{metric}/")
