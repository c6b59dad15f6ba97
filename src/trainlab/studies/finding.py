"""What a study returns: what there is to see, its numbers, and the oracles that these are checked against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trainlab.errors import InputError
from trainlab.recording.section import Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Progress = Callable[[int, int], None]  # how many parts of the work are done, and of how many


def no_progress(done: int, total: int) -> None:
    """A `Progress` for callers that show none."""


def check_seed(seed: int) -> None:
    """Raises InputError for a seed that not every generator takes: it has to be from 0 to 2³¹ − 1."""
    if not 0 <= seed < 2**31:
        raise InputError(f"seed={seed} has to be a whole number from 0 to {2**31 - 1}.")


@dataclass(frozen=True)
class Oracle:
    """Something that is not ours (a formula, another library, a published figure) and how far we are from it.

    name: in the form of an identifier, as in results.json. difference: at least 0; in which unit is said in `against`.
    bound: the most that it may be. against: what it is compared with, one line, in the study's language.
    """

    name: str
    difference: float
    bound: float
    against: str

    @property
    def holds(self) -> bool:
        """Whether the difference is within the bound; not where it is NaN."""
        return self.difference <= self.bound  # False also for NaN


@dataclass(frozen=True)
class Finding:
    """What a study has found out.

    section: title, table, what was seen beside what the lecture claims, and figures, all in the study's language.
    numbers: what was measured, by names that do not depend on the language: flat, as in results.json. oracles: what the
    numbers are checked against. animations: by the names of their files; each gives its pictures one after another when
    it is called, all of one size. seeded: whether chance had a part in it, so that the option `seed`, if there is one,
    belongs below the figures.
    """

    section: Section
    numbers: dict[str, float]
    oracles: tuple[Oracle, ...] = ()
    animations: dict[str, Callable[[], Iterator[Figure]]] = field(default_factory=dict)
    seeded: bool = True
