"""section.json of a sweep's report: the same for programs, as studies have it, with every number by its name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainlab.experiments import two_options
from trainlab.experiments.time_to_target import EPOCHS, SECONDS, times_to_target
from trainlab.recording.section import SECTION, Section
from trainlab.survival.atomic import atomic_write
from trainlab.sweeps.names import shown
from trainlab.sweeps.table import Group, default_metrics


def write_section(
    out: Path,
    groups: Sequence[Group],
    sections: Sequence[Section],
    drawn: Sequence[Path],
    series: Sequence[Mapping[str, Any]],
) -> None:
    """Into `out`, where table.md lies. drawn: the figures, in out/figures. series: as `save_series` returns them."""
    table = next(section for section in reversed(sections) if section.rows)
    values = {
        "title": sections[0].title,
        "lang": "en",
        "head": list(table.head),
        "rows": [list(row) for row in table.rows],
        "sentences": [sentence for section in sections for sentence in section.sentences],
        "figures": {path.stem: f"{path.parent.name}/{path.name}" for path in drawn},
        "series": list(series),
        "numbers": numbers_of(groups),
    }
    atomic_write(out / SECTION, json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def numbers_of(groups: Sequence[Group]) -> dict[str, float]:
    """Means and sample standard deviations: "test/top1_error/reg.l2=1", "test/top1_error_sd/reg.l2=1"; of
    times to a target the least of each side: "soonest/last/epoch/model.activation=relu"; of a map what
    `two_options.numbers` chooses. What is no number is left out.
    """
    numbers = two_options.numbers(groups)
    for g in groups:
        for metric in (*default_metrics(groups), "last/weight_norm"):
            numbers[named(metric, g.choices)] = g.mean(metric)
            numbers[named(f"{metric}_sd", g.choices)] = g.deviation(metric)
    key, compared = times_to_target(groups) or ("", [])
    for one in compared:
        for metric in (EPOCHS, SECONDS) if one.reached else ():
            numbers[f"soonest/{metric}/{key}={one.name}"] = one.best.mean(metric)
    return {name: value for name, value in numbers.items() if not math.isnan(value)}


def named(metric: str, choices: Mapping[str, Any]) -> str:
    """The key of a number in section.json: the metric, and behind it the choices, "test/top1_error/reg.l2=0.1"."""
    said = ",".join(f"{key}={plain(value)}" for key, value in choices.items())
    return f"{metric}/{said}" if said else metric


def plain(value: Any) -> str:
    """1.0 and 1 are the same."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:g}" if is_number else shown(value)
