"""conf/lecture.yaml: the lecture's headings in order, and the studies, experiments and commands that show each."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from trainlab.configuration.evidence import Evidence, Text, read_evidence
from trainlab.configuration.evidence import both as text_of
from trainlab.configuration.folder import CONF
from trainlab.recording.section import LANGUAGES


@dataclass(frozen=True)
class Number:
    """One value beside the published one. what: what it is. here, over: names of values; the second divides the first.
    published: a text, or the name of a value. spec: how numbers are written, as in format().
    """

    what: Text
    here: str
    over: str | None
    spec: str
    published: Text | None
    beside: str | None
    beside_spec: str
    source: Text


@dataclass(frozen=True)
class Shown:
    """What shows an idea. kind: "study", "experiment" or "command". name: of the first two. words: of its command,
    after the script. figures: their names, None for all. first: the one that is shown large.
    """

    kind: str
    name: str
    command: str
    claim: Text
    cost: Text
    figures: tuple[str, ...] | None
    first: str | None
    table_open: bool
    numbers: tuple[Number, ...]

    @property
    def words(self) -> frozenset[str]:
        """The words behind the script's name in its command, without -m: what tells its records from those of other
        commands.
        """
        return frozenset(shlex.split(self.command)[2:]) - {"-m"}


@dataclass(frozen=True)
class Heading:
    """A heading of the lecture. id: its anchor on the page. short: for the contents. idea: one paragraph. shown_by: in
    the order of the page.
    """

    id: str
    short: Text
    heading: Text
    idea: Text
    shown_by: tuple[Shown, ...]


@dataclass(frozen=True)
class Lecture:
    """What conf/lecture.yaml says: all texts in both languages, the headings in the order of the slides."""

    title: Text
    course: str
    motto: Text
    headings: tuple[Heading, ...]


def both(text: str | Mapping[str, str]) -> Text:
    """A text in both languages, also where it is the same in both."""
    return dict.fromkeys(LANGUAGES, text) if isinstance(text, str) else {lang: text[lang] for lang in LANGUAGES}


@cache
def read_lecture() -> Lecture:
    """conf/lecture.yaml, read and put into types. Raises KeyError where the file lacks something."""
    found = load(CONF / "lecture.yaml")
    headings = tuple(
        Heading(
            heading["id"],
            both(heading["short"]),
            both(heading["heading"]),
            both(heading["idea"]),
            tuple(shown(item) for item in heading["shown_by"]),
        )
        for heading in found["headings"]
    )
    return Lecture(both(found["title"]), found["course"], both(found["motto"]), headings)


@cache
def order() -> tuple[str, ...]:
    """The names of its studies and experiments, in the lecture's order."""
    return tuple(dict.fromkeys(s.name for h in read_lecture().headings for s in h.shown_by if s.name))


def shown(item: Mapping[str, Any]) -> Shown:
    """Claim and cost of a study or an experiment stand in its evidence, those of any other command here."""
    kind = next(key for key in ("study", "experiment", "command") if key in item)
    name = "" if kind == "command" else str(item[kind])
    evidence = read_evidence(name) if name else None
    return Shown(
        kind,
        name,
        evidence.command if evidence else item["command"],
        evidence.claim if evidence else both(item["claim"]),
        evidence.cost_text if evidence else both(item["cost"]),
        tuple(item["figures"]) if "figures" in item else None,
        item.get("first"),
        item.get("table") == "open",
        tuple(number(row, evidence) for row in item.get("numbers", ())),
    )


def number(row: Mapping[str, Any], evidence: Evidence | None = None) -> Number:
    """One row of the numbers that stand beside a figure. row: the item of conf/lecture.yaml. evidence: has what is
    published, where the row does not say it.
    """
    told = evidence.published.get(row["here"]) if evidence and "published" not in row else None
    if told is not None:
        row = {**row, "published": text_of(told.text), "source": text_of(told.source)}
    published = row.get("published", "–")
    beside = published if isinstance(published, Mapping) and "here" in published else {}
    return Number(
        both(row),
        row["here"],
        row.get("over"),
        spec_of(row),
        None if beside else both(published),
        beside.get("here"),
        spec_of({**row, **beside}) if beside else "",
        both(row.get("source", "")),
    )


def spec_of(row: Mapping[str, Any]) -> str:
    """The format of a number: errors in percent have two digits, others are as short as they are, unless the row says
    how.
    """
    return row.get("digits", ".2f" if row.get("percent") else ",.4g") + ("%" if row.get("percent") else "")


def command_of_experiment(name: str) -> str:
    """The command in the evidence of an experiment, without what is left to choose."""
    return read_evidence(name).command


def load(file: Path) -> Any:
    """The content of a YAML file, read with libyaml where PyYAML has it, which is several times as fast."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(file.read_text(encoding="utf-8"), Loader=loader)


def is_default(words: Sequence[str]) -> bool:
    """Whether a study was asked for as it is, in whichever language."""
    return all(word.startswith("lang=") for word in words)
