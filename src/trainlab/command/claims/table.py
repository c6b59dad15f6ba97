"""All claims in one table: what is claimed, published and measured, when, and whether the two agree."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from trainlab.command.claims.check import DIFFERS, Compared, Verdict
from trainlab.configuration.evidence import Evidence, Figure, both, claims, read_evidence
from trainlab.configuration.lecture import order
from trainlab.sweeps.table import as_markdown, show

HEAD = ("name", "claim", "published", "measured", "when", "agreement")


def in_order() -> list[str]:
    """The names of all claims: those of the lecture in its order, then the others."""
    there = claims()
    return [name for name in order() if name in there] + [name for name in there if name not in order()]


def cells(evidence: Evidence, between: str) -> list[str]:
    """One claim's row. between: what stands between two figures."""
    published = [both(one.text)["en"] for one in evidence.published.values()]
    measured = [f"{label(evidence, metric)}: {text_of(metric, evidence.measured[metric])}" for metric in evidence.shows]
    return [
        evidence.name,
        evidence.claim["en"],
        between.join(dict.fromkeys(published[:2])) or "–",
        between.join(measured) or "–",
        str(evidence.conditions.date) if evidence.conditions else "–",
        evidence.agreement,
    ]


def label(evidence: Evidence, metric: str) -> str:
    """What a figure is, in words; its name where there are none."""
    return both(evidence.measured[metric].what)["en"] or metric


def text_of(metric: str, figure: Figure) -> str:
    """ "4.22 ± 0.12 % (n = 5)" """
    text = figure_text(metric, figure.mean, figure.deviation)
    return f"{text} (n = {figure.n})" if figure.n > 1 else text


def figure_text(metric: str, mean: float | None, deviation: float | None) -> str:
    """A figure as people read it: mean ± standard deviation, errors, which are fractions, in percent."""
    if mean is None:
        return "–"
    if "_error" in metric and 0 <= mean <= 1:
        return show("_error", mean, math.nan if deviation is None else deviation)
    spread = "" if deviation is None else f" ± {deviation:.2g}" if deviation < 100 else f" ± {deviation:.0f}"
    return f"{mean:.4g}{spread}"


def of_all() -> Table:
    """The table for a terminal, of 100 columns or more: the name stands above the claim."""
    table = Table(show_lines=True, expand=True)
    for head, share in (("claim", 30), ("published", 13), ("measured", 30)):
        table.add_column(head, overflow="fold", ratio=share)
    table.add_column("when", min_width=10)
    table.add_column("agreement", min_width=11)
    for name in in_order():
        first, claim, *rest = cells(read_evidence(name), "\n")
        table.add_row(Text.assemble((first, "bold"), "\n", claim), *rest)
    return table


def as_markdown_of_all() -> str:
    """The same for a page, each claim with a link to its file."""
    rows = []
    for name in in_order():
        evidence = read_evidence(name)
        _, *rest = cells(evidence, "; ")
        rows.append([f"[{name}](../conf/{evidence.file.parent.name}/{name}.yaml)", *rest])
    return as_markdown(HEAD, rows)


def of_verdict(verdict: Verdict) -> Table:
    """The figures of a check: as they are stated, as they are now, and the interval of the difference."""
    table = Table(title=f"{verdict.name}: {told(verdict)}", title_justify="left")
    for head in ("figure", "stated", "now", "difference, 95 %", ""):
        table.add_column(head, overflow="fold", justify="left" if head == "figure" else "right")
    for one in verdict.figures:
        stated = figure_text(one.metric, one.stated, one.stated_deviation)
        now = figure_text(one.metric, one.now, one.deviation)
        table.add_row(one.metric, stated, now, interval_text(one), one.word)
    return table


def interval_text(one: Compared) -> str:
    """ "−0.12 … 0.12 points" of errors, "−1.2 … 3.4" of others; one number where it is a point."""
    if one.low is None or one.high is None:
        return "–"
    ends = (one.low,) if one.low == one.high else (one.low, one.high)
    if "_error" in one.metric and 0 <= one.stated <= 1:
        return " … ".join(f"{round(100 * end, 2) + 0.0:.2f}" for end in ends) + " points"
    return " … ".join(f"{end:.2g}" for end in ends)


def told(verdict: Verdict) -> str:
    """What a check came to, in a line: "holds", "differs in 2 of 15 figures", "not run here: needs CIFAR-10"."""
    if verdict.reason:
        return f"{verdict.word}: {verdict.reason}"
    wrong = sum(one.word == DIFFERS for one in verdict.figures)
    return f"{verdict.word} in {wrong} of {len(verdict.figures)} figures" if wrong else verdict.word


def summary(verdicts: Sequence[Verdict]) -> Table:
    """A line for each claim that was checked."""
    table = Table()
    for head in ("claim", "", "seconds"):
        table.add_column(head, overflow="fold", justify="right" if head == "seconds" else "left")
    for verdict in verdicts:
        table.add_row(verdict.name, told(verdict), f"{verdict.seconds:.0f}" if verdict.figures else "")
    return table
