"""One point of a sweep: its name, its directory, and what the directory says of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainlab.atomic import write_whole
from trainlab.errors import InputError
from trainlab.run_directory import own_checkpoint, read_results

POINT, STATUS, LOG = "point.json", "status.json", "log.txt"
NOT_COMPARED = ("ckpt", "logger")  # of a configuration: what does not change the numbers
FINISHED, INTERRUPTED, FAILED, NEW = "finished", "interrupted", "failed", "new"


@dataclass(frozen=True)
class Point:
    """What a point is. In its directory as point.json, so that a run knows its sweep and a sweep knows its runs.

    sweep: the name of the sweep's directory. swept: value by option, of the options that the sweep varies.
    overrides: what distinguishes it from conf/train.yaml. config: all of it, resolved. commit: of the code.
    """

    sweep: str
    swept: dict[str, Any]
    overrides: list[str]
    config: dict[str, Any]
    commit: str | None

    def write(self, folder: Path) -> None:
        write_whole(folder / POINT, json.dumps(asdict(self), indent=1) + "\n")

    def differences(self, other: Point) -> list[str]:
        """ "key: theirs → ours" for each option that `other` had differently."""
        ours, theirs = flat(self.config), flat(other.config)
        keys = [key for key in ours | theirs if key.split(".")[0] not in NOT_COMPARED]
        return [f"{key}: {theirs.get(key)} → {ours.get(key)}" for key in keys if ours.get(key) != theirs.get(key)]


def read_point(folder: Path) -> Point | None:
    """None where no sweep has been, or what it left is not readable."""
    try:
        return Point(**json.loads((folder / POINT).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"reg": {"l2": 0}} → {"reg.l2": 0}."""
    values: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = value
    return values


@dataclass(frozen=True)
class Status:
    """How the last attempt at a point ended. In its directory as status.json."""

    state: str
    error: str = ""
    seconds: float = 0.0

    def write(self, folder: Path) -> None:
        write_whole(folder / STATUS, json.dumps(asdict(self), indent=1) + "\n")


def state_of(folder: Path) -> Status:
    """finished, failed, interrupted (it can go on) or new.

    Told from what lies there: whoever would have written it down may have been killed.
    """
    if read_results(folder) is not None:
        return Status(FINISHED)
    try:
        said = Status(**json.loads((folder / STATUS).read_text()))
    except (OSError, ValueError, TypeError):
        said = Status(NEW)
    if said.state == FAILED:
        return said
    return Status(INTERRUPTED, said.error) if own_checkpoint(folder) else Status(NEW, said.error)


def set_aside(folder: Path) -> Path:
    """Move a point's directory to …/set_aside/NAME.1, .2, …: nothing is thrown away."""
    away = folder.parent / "set_aside"
    try:
        away.mkdir(exist_ok=True)
        number = 1 + max((int(old.suffix[1:]) for old in away.glob(f"{folder.name}.*")), default=0)
        return Path(shutil.move(folder, away / f"{folder.name}.{number}"))
    except OSError as error:
        raise InputError(f"{folder} cannot be moved to {away} ({error.strerror or error}).") from None
