"""The page of runs: `python scripts/report.py DIR… --html FILE`."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

from trainlab.pages.document import document, static
from trainlab.pages.records import plain, records, varying
from trainlab.sweeps.point import FINISHED
from trainlab.sweeps.table import Group, Run, cells

MOST_NAMED = 4  # options in the heading


def runs_page(
    groups: Sequence[Group], headline: Sequence[str], *, again: Sequence[Run] = (), reload: float | None = None
) -> str:
    """The page's text. The same records give the same text.

    groups, headline: see `records`. again: runs that were left out, for they repeat others. reload: seconds after which
    the open page looks whether it has been written anew; None for one that stays as it is.
    """
    title, said = heading(groups), summary(groups)
    filled = {
        "heading": escape(title),
        "summary": escape(said),
        "plain": plain_table(groups, headline, again),
    }
    body = re.sub(r"\{\{(\w+)\}\}", lambda found: filled[found[1]], static("runs.html"))
    data: dict[str, Any] = {"records": records(groups, headline) | {"reload": reload, "title": title}}
    styles = [static("base.css"), static("runs.css")]
    return document(title, body, styles=styles, scripts=[static("runs.js")], data=data)


def heading(groups: Sequence[Group]) -> str:
    """The page's heading: what varies; where nothing does, what was trained on what."""
    keys = varying(groups)
    if keys:
        more = f" and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
        return text(" × ".join(keys[:MOST_NAMED]) + more)
    config = groups[0].runs[0].config
    if "model.name" in config and "data.name" in config:
        return text(f"{config['model.name']} on {config['data.name']}")
    return text(groups[0].runs[0].folder.name)


def summary(groups: Sequence[Group]) -> str:
    """ "75 runs: 15 settings, 5 seeds each · 2 failed"."""
    runs = [run for g in groups for run in g.runs]
    seeds = sorted({len(g.runs) for g in groups})
    each = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    said = counted(len(runs), "run")
    if len(groups) > 1:
        said += f": {counted(len(groups), 'setting')}"
        said += "" if seeds == [1] else f", {each} seeds each"
    states = Counter(run.state for run in runs)
    parts = [f"{states[state]} {state}" for state in sorted(states) if state != FINISHED]
    return " · ".join([said, *parts])


def plain_table(groups: Sequence[Group], headline: Sequence[str], again: Sequence[Run]) -> str:
    """The page for browsers without a script, as HTML: the table, and what went wrong."""
    head, rows = cells(groups, headline)
    first = len(groups[0].choices)
    lines = ["<tr>" + "".join(f'<th scope="col">{html(name)}</th>' for name in head) + "</tr>"]
    for row in rows:
        named = [f'<th scope="row">{html(cell)}</th>' for cell in row[:first]]
        lines.append("<tr>" + "".join([*named, *(f"<td>{html(cell)}</td>" for cell in row[first:])]) + "</tr>")
    notes = [
        f"<li>{html(os.fspath(run.folder))}: {html(run.state)}{': ' + html(run.error) if run.error else ''}</li>"
        for g in groups
        for run in g.runs
        if run.state != FINISHED
    ]
    notes += [f"<li>{html(os.fspath(run.folder))}: left out, the same run as another</li>" for run in again]
    listed = f"<ul>\n{chr(10).join(notes)}\n</ul>" if notes else ""
    return f"<table>\n<thead>{lines[0]}</thead>\n<tbody>{chr(10).join(lines[1:])}</tbody>\n</table>\n{listed}"


def counted(number: int, what: str) -> str:
    """A number and its noun, such as "3 runs"."""
    return f"{number} {what}{'s' * (number != 1)}"


def text(value: str) -> str:
    """A value without what a terminal or a page could take for a command."""
    return str(plain(value))


def html(value: str) -> str:
    """A value as text inside HTML."""
    return escape(text(value))
