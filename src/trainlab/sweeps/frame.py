"""`trainlab.read_runs`: many runs as one data frame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainlab.errors import InputError
from trainlab.sweeps.table import SEED, Run, choices_of, gather

if TYPE_CHECKING:
    import pandas

GROUPS = ("model", "data", "loss", "reg", "optim", "aug")


def read_runs(*folders: str | os.PathLike[str]) -> pandas.DataFrame:
    """See `trainlab.read_runs`."""
    try:
        import pandas
    except ModuleNotFoundError:
        raise InputError("trainlab.read_runs needs pandas: pip install -e '.[dataframe]'.") from None
    for folder in folders:
        if not isinstance(folder, str | os.PathLike):
            raise InputError(f"{folder!r} is no folder; name run directories or sweeps, such as 'runs/sweeps/NAME'.")
    if not folders:
        raise InputError("which runs? trainlab.read_runs('runs') reads all below that folder.")
    runs = gather([Path(folder) for folder in folders])
    return pandas.DataFrame(rows_of(runs))


def rows_of(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row for each run: where and how it ended, what was chosen, what it came to."""
    choices = [key for key in choices_of(runs) if key not in GROUPS]
    keys = [*GROUPS, *choices, SEED]
    rows = []
    for run in runs:
        row: dict[str, Any] = {"folder": str(run.folder), "state": run.state, "error": run.error or None}
        row |= {key: run.swept.get(key, run.config.get(key, run.config.get(f"{key}.name"))) for key in keys}
        row |= {name: value for name, value in run.results.items() if name not in row}
        rows.append(row)
    return rows
