"""point.json, in the directory of a run that is a point of a sweep: so it knows its sweep, and W&B its group."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from trainlab.configuration import renamed
from trainlab.errors import InputError
from trainlab.recording.run_directory import Threads, read_json
from trainlab.survival.atomic import atomic_write

POINT = "point.json"


@dataclass(frozen=True)
class Point:
    """One point of a sweep, as it is written down in its directory.

    sweep: the name of the sweep's directory. swept: value by option, of the options that the sweep varies. overrides:
    what distinguishes it from conf/train.yaml. config: all of it, resolved. commit: of the code. threads: CPU threads
    that it was started with, for all its processes together. A sum over more threads has other last bits, and how
    many a point gets depends on the memory that is free; a point that goes on gets these again. None where it is not
    known, as in directories that are older than this.
    """

    __pydantic_config__ = ConfigDict(strict=True)
    sweep: str
    swept: dict[str, Any]
    overrides: list[str]
    config: dict[str, Any]
    commit: str | None
    threads: Threads | None = None

    def text(self) -> str:
        """What point.json holds."""
        return json.dumps(vars(self), indent=1) + "\n"

    def write(self, folder: Path) -> None:
        """Write point.json into the run's directory, whole or not at all. Raises OSError."""
        atomic_write(folder / POINT, self.text())


RECORD = TypeAdapter(Point)


def load_point(folder: Path) -> Point | None:
    """What point.json in a run's directory says, its options by today's names; None where no sweep has been.

    Raises InputError where the file is damaged.
    """
    point = read_json(folder / POINT, RECORD)
    if point is None:
        return None
    return replace(point, swept=renamed.in_values(point.swept), config=renamed.in_config(point.config))


def read_point(folder: Path) -> Point | None:
    """What `load_point` says, with None also where the file is damaged."""
    with suppress(InputError):
        return load_point(folder)
    return None
