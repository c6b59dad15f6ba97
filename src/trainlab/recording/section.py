"""What a study or an experiment has to report: the same for a terminal, a file, a page or W&B."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a table need not wait for matplotlib
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Section:
    """head, rows: of a table, as people read it; no rows: no table. sentences: what it comes to. figures: by the names
    of their files; each is drawn when it is called, None where there turns out to be nothing to draw.
    """

    title: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    sentences: Sequence[str] = ()
    figures: dict[str, Callable[[], Figure | None]] = field(default_factory=dict)
