"""The records of many runs as plain data for a page: numbers in one blob, the rest as JSON."""

from __future__ import annotations

import math
import os
import re
import shlex
import sys
from array import array
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from trainlab.command.main import compose_run, without_hydra
from trainlab.errors import InputError
from trainlab.pages.document import picture_uri
from trainlab.recording.point import read_point
from trainlab.recording.run_directory import read_overrides, read_rows
from trainlab.sweeps.names import digest
from trainlab.sweeps.point import LOG, NOT_COMPARED, alike, flat, is_of_the_code
from trainlab.sweeps.table import DAMAGED, SEED, Group, Run

LOG_LINES, LOG_BYTES = 25, 6_000  # of the end of a log
FIGURES_BYTES = 3_000_000  # of PNGs in one page; where there are more, the page names the folder that has the rest
DRAWN_BY_THE_PAGE = "learning_curves.png"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # a terminal's colours


class Numbers:
    """Columns of float32, one after another; a column that is there already is not stored again."""

    def __init__(self) -> None:
        self.values = array("f")
        self.places: dict[bytes, int] = {}

    def place(self, column: Sequence[float]) -> int:
        """Store a column; returns where it starts. What is not finite, or not there, is NaN."""
        floats = array("f", (value if abs(value) < 3e38 else math.nan for value in column))
        name = floats.tobytes()
        if name not in self.places:
            self.places[name] = len(self.values)
            self.values.extend(floats)
        return self.places[name]

    @property
    def encoded(self) -> str:
        """All columns as base64 of little-endian float32."""
        values = array("f", self.values)
        if sys.byteorder == "big":
            values.byteswap()
        return b64encode(values.tobytes()).decode()


def records(groups: Sequence[Group], headline: Sequence[str]) -> dict[str, Any]:
    """All that the page knows. The same records give the same value.

    groups: in the order in which they are shown first. headline: the results that the table has from the beginning.
    keys: the options that vary. common: the value that most runs have, by option; a run has what differs from it.
    metrics: the columns of metrics.csv; a run has the place in `numbers` where each of its columns starts, or -1.
    """
    runs = [run for g in groups for run in g.runs]
    rows = {run.folder: [] if run.state == DAMAGED else read_rows(run.folder) for run in runs}
    metrics = list(dict.fromkeys(name for of_run in rows.values() for row in of_run for name in row))
    results = sorted({name for run in runs for name in run.results})
    common, default, numbers = commonest([run.config for run in runs]), default_config(), Numbers()
    figures = figures_of(groups)
    described = []
    for number, g in enumerate(groups):
        for run in g.runs:
            mine = rows[run.folder]
            described.append(
                description(run, common, default)
                | {
                    "group": number,
                    "results": [run.results.get(name) for name in results],
                    "rows": len(mine),
                    "columns": [
                        numbers.place([row.get(name, math.nan) for row in mine])
                        if any(name in row for row in mine)
                        else -1
                        for name in metrics
                    ],
                    "figures": figures.get(run.folder, {}),
                }
            )
    return plain(
        {
            "keys": varying(groups),
            "headline": list(headline),
            "metrics": metrics,
            "results": results,
            "common": common,
            "groups": [{"id": identity(g), "choices": g.choices} for g in groups],
            "runs": described,
            "numbers": numbers.encoded,
        }
    )


def varying(groups: Sequence[Group]) -> list[str]:
    """The options of which there is more than one value."""
    return [key for key in groups[0].choices if len({alike(g.choices[key]) for g in groups}) > 1]


def identity(g: Group) -> str:
    """Short, and the same however many runs or groups there are beside it."""
    return digest([f"{key}={alike(value)}" for key, value in g.choices.items()], 8)


def description(run: Run, common: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """One run, without its numbers."""
    point = read_point(run.folder)
    typed = point.overrides if point else read_overrides(run.folder)
    missing = object()
    differs = {k: v for k, v in run.config.items() if alike(v) != alike(common.get(k, missing))}
    return {
        "id": digest([os.fspath(run.folder)], 8),
        "folder": os.fspath(run.folder),
        "state": run.state,
        "error": run.error,
        "log": "" if run.results else end_of(run.folder / LOG),
        "seed": run.swept.get(SEED, run.config.get(SEED)),
        "commit": point.commit if point else None,
        "config": differs if run.config else None,
        "without": [key for key in common if key not in run.config] if run.config else [],
        "changed": differences_from(default, run.config, typed or []) if run.config else [],
        "commands": commands(run.folder, typed),
    }


def commonest(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """For each option the value that most configurations have; without options that say where code lies."""
    found: dict[str, Counter[str]] = {}
    values: dict[tuple[str, str], Any] = {}
    for config in configs:
        for key, value in config.items():
            if not is_of_the_code(key):
                found.setdefault(key, Counter())[alike(value)] += 1
                values.setdefault((key, alike(value)), value)
    return {key: values[key, counted.most_common(1)[0][0]] for key, counted in sorted(found.items())}


@cache
def default_config() -> dict[str, Any]:
    """The flat configuration of `python train.py` where nothing is typed; {} where conf/ cannot be composed."""
    with suppress(InputError):
        return flat(OmegaConf.to_container(without_hydra(compose_run([], checked=False)), resolve=True))  # type: ignore[arg-type]
    return {}


def differences_from(
    default: Mapping[str, Any], config: Mapping[str, Any], typed: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Option, its value and, where the default has such an option, its value there.

    A choice that differs (model=mlp) stands for all its options, but for those that were typed.
    """
    named = {word.split("=")[0].lstrip("+~") for word in typed}
    chosen = [k.removesuffix(".name") for k in config if k.endswith(".name") and config[k] != default.get(k)]
    changes: list[tuple[Any, ...]] = []
    for key, value in config.items():
        part = key.split(".")[0]
        if part in (*NOT_COMPARED, "recipe", "ablation") or is_of_the_code(key) or not default:
            continue
        there = [default[key]] if key in default else []
        if part in chosen and key == f"{part}.name":
            changes.append((part, value, *there))
        elif (part not in chosen or key in named) and alike(value) != alike(default.get(key)):
            changes.append((key, value, *there))
    return changes


def commands(folder: Path, typed: Sequence[str] | None) -> list[str]:
    """What to type to have this run again: from its directory, and from nothing."""
    again = [shlex.join(["python", "scripts/rerun.py", os.fspath(folder)])]
    return again if typed is None else [*again, shlex.join(["python", "train.py", *typed])]


def end_of(log: Path) -> str:
    """The last lines of a file of text; "" where there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.rpartition("\r")[2].rstrip() for line in ESCAPES.sub("", text).replace("\r\n", "\n").split("\n")]
    return "\n".join([line for line in lines if line][-LOG_LINES:])


def figures_of(groups: Sequence[Group]) -> dict[Path, dict[str, str]]:
    """The runs' own figures by name, as addresses that hold them, as many as a page may hold: of each group's first run
    first."""
    found: dict[Path, dict[str, str]] = {}
    left = FIGURES_BYTES
    most = max(len(g.runs) for g in groups)
    for run in (g.runs[place] for place in range(most) for g in groups if place < len(g.runs)):
        with suppress(OSError):
            files = [f for f in sorted((run.folder / "figures").glob("*.png")) if f.name != DRAWN_BY_THE_PAGE]
            size = sum(file.stat().st_size for file in files)
            if files and size <= left:
                found[run.folder] = {file.stem.replace("_", " "): picture_uri(file) for file in files}
                left -= size
    return found


def plain(value: Any) -> Any:
    """A value for JSON: numbers that are not finite as text, and no half of a character."""
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float | None) else str(value)
