"""The tables of results in README and docs, filled with the figures of the claims.

Between ``<!-- claims: NAME -->`` and ``<!-- end -->`` of a page stands what docs/results/tables/NAME.md makes, which is
Markdown in which each ``{…}`` is a figure. `all` is the table of all claims.

    {bfloat16 test/top1_error/trainer.precision=float32}    2.56 ± 0.46 %
    {l2_sweep test/top1_error/data=moons,reg.l2=1 .1p}      5.0 ± 0.0: a fraction in percent, with one digit
    {relu_vs_tanh A .0f}, {… A .0f mean}                    135 ± 1, and 135 alone
    {relu_vs_tanh A / B .1f}                                the ratio of two means
    {perceptron_digits A n}                                 5, the runs
    {perceptron_digits date}, {… command}, {… cost}         of the claim
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from trainlab.command.claims.check import ROOT
from trainlab.command.claims.table import as_markdown_of_all, figure_text
from trainlab.command.main import nearest
from trainlab.configuration.evidence import Evidence, claims, read_evidence
from trainlab.errors import InputError
from trainlab.survival.atomic import atomic_write

TABLES = ROOT / "docs" / "results" / "tables"
MARKED = re.compile(r"(<!-- claims: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
PLACE = re.compile(r"\{([^{}\n]+)\}")
FORMAT = re.compile(r"\.(\d)([fgep%])")


def pages() -> list[Path]:
    """The pages that have such tables."""
    every = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    return sorted(page for page in every if MARKED.search(page.read_text(encoding="utf-8")))


def write_pages() -> list[Path]:
    """Fill the tables of all pages; returns those that have changed."""
    changed = []
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            atomic_write(page, after)
            changed.append(page)
    return changed


def filled(text: str) -> str:
    """A page's text with its tables made anew."""
    return MARKED.sub(lambda found: f"{found[1]}{table(found[2])}{found[3]}", text)


def table(name: str) -> str:
    """The Markdown of a table. Raises InputError where there is no such one."""
    if name == "all":
        return as_markdown_of_all()
    file = TABLES / f"{name}.md"
    if not file.is_file():
        there = ["all", *sorted(path.stem for path in TABLES.glob("*.md"))]
        raise InputError(f"there is no table {name} in {TABLES.name}/; {nearest(name, there)}.")
    return put_in(file.read_text(encoding="utf-8"), file.name)


def put_in(template: str, where: str, read: Callable[[str], Evidence] = read_evidence) -> str:
    """A template with its figures. Raises InputError for a place that names no claim or no figure."""

    def figure(place: re.Match[str]) -> str:
        name, *words = place[1].split()
        if name not in claims() and read is read_evidence:
            raise InputError(f"{where}: there is no claim {name}; `python scripts/claims.py` lists all.")
        try:
            return said(read(name), words)
        except (ValueError, IndexError) as error:
            raise InputError(f"{where}: {place[0]} cannot be read; write {{CLAIM FIGURE .2f}}.") from error

    return PLACE.sub(figure, template)


def said(evidence: Evidence, words: list[str]) -> str:
    """What one place says. Raises InputError, ValueError and IndexError."""
    first, *rest = words
    if not rest and first in ("command", "date", "cost"):
        of = evidence.conditions
        return {"command": evidence.command, "cost": evidence.cost_text["en"], "date": str(of.date) if of else "–"}[
            first
        ]
    one = evidence.figure(first)
    if rest == ["n"]:
        return str(one.n)
    if rest[:1] == ["/"]:
        return written(one.mean / evidence.figure(rest[1]).mean, None, rest[2])
    deviation = None if rest[1:] == ["mean"] else one.deviation
    if not rest:
        return figure_text(first, one.mean, deviation)
    return written(one.mean, deviation, rest[0])


def written(mean: float, deviation: float | None, spec: str) -> str:
    """Mean ± deviation as `spec` says: .2f, .4g and .1e as format() has them; .1p a fraction in percent; .2% with the
    sign.
    """
    form = FORMAT.fullmatch(spec)
    if form is None:
        raise ValueError(f"{spec} is no format")
    digits, kind = form.groups()
    scale, kind, sign = (100, "f", " %" * (kind == "%")) if kind in "p%" else (1, kind, "")
    parts = [f"{scale * value:.{digits}{kind}}" for value in (mean, deviation) if value is not None]
    return " ± ".join(parts) + sign
