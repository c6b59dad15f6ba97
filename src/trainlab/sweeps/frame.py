"""`trainlab.read_runs`: many runs as one data frame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainlab.errors import InputError
from trainlab.sweeps.point import NOT_COMPARED, alike, is_of_the_code
from trainlab.sweeps.table import SEED, Run, gather

if TYPE_CHECKING:
    import pandas

GROUPS = ("model", "data", "loss", "reg", "optim", "aug")
SAID_ELSEWHERE = (*NOT_COMPARED, "recipe")  # parts whose options show in others, or change no number


def read_runs(*folders: str | os.PathLike[str]) -> pandas.DataFrame:
    """See `trainlab.read_runs`."""
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise InputError("trainlab.read_runs needs pandas: pip install -e '.[dataframe]'.") from error
    for folder in folders:
        if not isinstance(folder, str | os.PathLike):
            raise InputError(
                f"{folder!r} is no folder", hint="name run directories or sweeps, such as 'runs/sweeps/NAME'"
            )
    if not folders:
        raise InputError("which runs? trainlab.read_runs('runs') reads all below that folder.")
    runs = gather([Path(folder) for folder in folders])
    return pandas.DataFrame(rows_of(runs))


def rows_of(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row for each run: where it is and how it ended, what was chosen, and its results."""
    keys = [*GROUPS, *options_of(runs), SEED]
    rows = []
    for run in runs:
        row: dict[str, Any] = {"folder": str(run.folder), "state": run.state, "error": run.error or None}
        row |= {key: run.swept.get(key, run.config.get(key, run.config.get(f"{key}.name"))) for key in keys}
        row |= {name: value for name, value in run.results.items() if name not in row}
        rows.append(row)
    return rows


def options_of(runs: Sequence[Run]) -> list[str]:
    """The options to show: what the sweeps vary, then every other option by which the runs differ; a choice by the
    name of its group.
    """
    keys = dict.fromkeys(key for run in runs for key in run.swept)
    known = [run.config for run in runs if run.config]
    for key in dict.fromkeys(key for config in known for key in config):
        group, _, last = key.rpartition(".")
        said_elsewhere = key.split(".")[0] in SAID_ELSEWHERE or is_of_the_code(key)
        if not said_elsewhere and len({alike(config.get(key)) for config in known}) > 1:
            keys[group if last == "name" else key] = None
    return [key for key in keys if key not in (*GROUPS, SEED)]
