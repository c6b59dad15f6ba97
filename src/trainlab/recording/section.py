"""What a study or an experiment has to report, the same for a terminal, a file, a page or W&B; in two languages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trainlab.errors import InputError

if TYPE_CHECKING:  # a table need not wait for matplotlib
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Series:
    """One figure for each value of what is swept, all with the same axes, so that a slider can go through them.

    symbol, values: as people write them: "η", ["0.1", "1"]. draw: gives the figures one after another, in the order of
    the values; it may give one figure again and again, each time redrawn.
    """

    symbol: str
    values: Sequence[str]
    draw: Callable[[], Iterator[Figure]]


@dataclass(frozen=True)
class Section:
    """What there is to report. title: its heading. head, rows: of a table, as people read it; no rows: no table.
    sentences: what it comes to. figures: by the names of their files; each is drawn when it is called, None where
    there turns out to be nothing to draw. series: by the names of their folders.
    """

    title: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    sentences: Sequence[str] = ()
    figures: dict[str, Callable[[], Figure | None]] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)


SECTION = "section.json"  # in a study's folder, or a sweep's: what a page needs of it
# English, and Spanish, the language of the lecture
LANGUAGES = ("en", "es")
Say = Callable[[str, str], str]


def speaker(lang: str) -> Say:
    """A function that takes a text in English and in Spanish and returns the one that is asked for.

    So both stand side by side wherever something is said. lang: "en" or "es". Raises InputError for another.

        say = speaker("es")
        say("learning rate", "tasa de aprendizaje")   # 'tasa de aprendizaje'
    """
    if lang not in LANGUAGES:
        raise InputError(
            f"lang={lang} is not a language of the studies",
            option="lang",
            value=lang,
            hint="use en (English) or es (Spanish)",
        )
    return lambda english, spanish: english if lang == "en" else spanish
