"""One point of a sweep: how it differs from another, and how its last attempt ended."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from trainlab.errors import InputError
from trainlab.recording.point import Point
from trainlab.recording.run_directory import LARGEST, own_checkpoint, read_json, read_results
from trainlab.survival.atomic import atomic_write
from trainlab.sweeps.names import shown

STATUS, LOG = "status.json", "log.txt"
# What says where code lies, and what configurations had before 2026-12: other names for the same run
OF_THE_CODE = re.compile(r".*\._target_|data\.load\..*|describe\..*|trainer\.capture")
NOT_COMPARED = ("ckpt", "logger", "figures")  # of a configuration: what does not change the numbers
FINISHED: Literal["finished"] = "finished"
INTERRUPTED: Literal["interrupted"] = "interrupted"
FAILED: Literal["failed"] = "failed"
NEW: Literal["new"] = "new"


def is_of_the_code(key: str) -> bool:
    """Whether this option says where code is, or does not exist any more: two runs that differ in nothing else are
    the same.
    """
    return OF_THE_CODE.fullmatch(key) is not None


def differences(point: Point, other: Point) -> list[str]:
    """The options by which two points differ, each as "key: theirs → ours"."""
    ours, theirs = flat(point.config), flat(other.config)
    keys = [key for key in ours | theirs if key.split(".")[0] not in NOT_COMPARED and not is_of_the_code(key)]
    changed = [key for key in keys if alike(ours.get(key)) != alike(theirs.get(key))]
    return [f"{key}: {shown(theirs.get(key))} → {shown(ours.get(key))}" for key in changed]


def alike(value: Any) -> str:
    """A text that is the same for values that count as the same: 0 and 0.0, or a tuple and the list that JSON makes
    of it.
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(sorted(f"{key}: {alike(item)}" for key, item in value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(alike, value)) + "]"
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53:
        return repr(float(value) + 0.0)  # not −0.0
    return repr(value)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as a flat one: {"reg": {"l2": 0}} → {"reg.l2": 0}."""
    values: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = value
    return values


@dataclass(frozen=True)
class Status:
    """How the last attempt at a point ended, as status.json in its directory says."""

    __pydantic_config__ = ConfigDict(strict=True)
    state: Literal["finished", "interrupted", "failed", "new", "running"]
    error: str = ""
    seconds: Annotated[float, Field(ge=0, lt=LARGEST)] = 0.0

    def text(self) -> str:
        """What status.json holds."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def write(self, folder: Path) -> None:
        """Write status.json, whole or not at all."""
        atomic_write(folder / STATUS, self.text())


RECORD = TypeAdapter(Status)


def load_status(folder: Path) -> Status | None:
    """How the last attempt at a point ended; None where none has ended. Raises InputError where the file is damaged."""
    return read_json(folder / STATUS, RECORD)


def state_of(folder: Path) -> Status:
    """How far a point is: finished, failed, interrupted (it can go on) or new.

    Told from the files themselves, since the process that would have written it down may have been killed.
    """
    if read_results(folder) is not None:
        return Status(FINISHED)
    said = Status(NEW)
    with suppress(InputError):
        said = load_status(folder) or said
    if said.state == FAILED:
        return said
    return Status(INTERRUPTED, said.error) if own_checkpoint(folder) else Status(NEW, said.error)


def set_aside(folder: Path) -> Path:
    """Move a point's directory to …/set_aside/NAME.1, .2, …: nothing is thrown away."""
    away = folder.parent / "set_aside"
    try:
        away.mkdir(exist_ok=True)
        numbers = [old.suffix[1:] for old in away.glob(f"{folder.name}.*")]
        number = 1 + max((int(old) for old in numbers if old.isdecimal()), default=0)
        return Path(shutil.move(folder, away / f"{folder.name}.{number}"))
    except OSError as error:
        raise InputError(f"{folder} cannot be moved to {away} ({error.strerror or error}).") from error
