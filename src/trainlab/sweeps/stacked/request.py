"""What passes between a launcher and the process that trains its stack. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainlab.configuration.points import Composed
from trainlab.sweeps.point import Status


@dataclass(frozen=True)
class PointTask:
    """A point of a stack: its directory and its configuration. number: in its sweep. composed: without what Hydra
    finds out as it runs.
    """

    name: str
    folder: Path
    number: int
    composed: Composed

    @property
    def hydra(self) -> dict[str, Any]:
        """Hydra's part of its configuration, as it is when the point runs."""
        hydra = dict(self.composed.hydra)
        found = {
            "job": {"id": self.name, "num": self.number},
            "sweep": {"dir": str(self.folder.parent), "subdir": self.name},
            "runtime": {"output_dir": str(self.folder)},
        }
        return hydra | {group: hydra[group] | values for group, values in found.items()}


@dataclass(frozen=True)
class Request:
    """A stack to be trained. file: where it is saved. earlier: files in which its points may have been saved.
    going_on: the points that go on from there. fingerprints: of all points' configurations, by their names.
    """

    tasks: list[PointTask]
    threads: int
    environment: dict[str, str]
    log: Path
    file: Path
    earlier: list[Path]
    going_on: list[str]
    fingerprints: dict[str, str]


@dataclass(frozen=True)
class Message:
    """A message of a stack to its launcher. text: a sentence. epoch, errors: how far the points are, and the
    last validation error of those that have one, by their names. seconds_left: until the last epoch. ended: points that
    have ended.
    """

    text: str = ""
    names: Sequence[str] = ()
    epoch: int = 0
    errors: Mapping[str, float] = field(default_factory=dict)
    seconds_left: float | None = None
    ended: Mapping[str, Status] = field(default_factory=dict)
