"""What is claimed, by whom, what it costs to try, and what came out: the evidence of each study and experiment.

A study's stands in its own file, as the node `evidence` of conf/study/NAME.yaml. All others are files of their own,
conf/evidence/NAME.yaml. An experiment's YAML is composed into every run's configuration: a node there would have to be
taken out again wherever Hydra composes one (one run, the points of a sweep, launchers and sweepers that are not ours),
and a new figure would make another run of it. And some claims, such as the perceptron's on digits, are of a plain
command, which has no file in conf/experiment.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from trainlab.configuration.folder import CONF
from trainlab.configuration.schema import check_options
from trainlab.errors import InputError
from trainlab.recording.section import LANGUAGES

Text = Mapping[str, str]  # by language: "en", "es"
Agreement = Literal["agrees", "partly", "disagrees", "not settled", "not run"]
NEEDS = {
    "cifar10": {"en": "CIFAR-10", "es": "CIFAR-10"},
    "imagenet": {"en": "ImageNet", "es": "ImageNet"},
    "elpv": {"en": "elpv-dataset", "es": "elpv-dataset"},
    "gpu": {"en": "a GPU", "es": "una GPU"},
}
Need = Literal["cifar10", "imagenet", "elpv", "gpu"]
HERE = "2 cores"  # the machine that costs are told for, where nothing else is said


class Strict(BaseModel):
    """A node of the file, all of whose keys are listed."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Both(Strict):
    """A text in both languages."""

    en: str
    es: str


class Cost(Strict):
    """What it takes to run the command. seconds: of wall clock. runs: how many. on: the machine, as in "on 2 cores".
    more: what other options of it cost.
    """

    seconds: PositiveFloat
    runs: PositiveInt = 1
    on: str | Both = HERE
    more: str = ""


class Conditions(Strict):
    """Under which figures were measured; null is what was not recorded at the time."""

    date: datetime.date
    commit: str | None
    machine: str
    precision: Literal["float32", "bfloat16", "both"]


class Figure(Strict):
    """One measured value, by the name that section.json or results.json has for it; errors are fractions.

    mean, deviation: over n runs, the sample standard deviation; None for one run, and where it was not recorded.
    within: how far another measurement may be off, beside what the deviation explains. at_most: instead, another need
    only be no larger. what: for tables.
    """

    mean: float
    deviation: NonNegativeFloat | None = None
    n: PositiveInt = 1
    within: NonNegativeFloat | None = None
    at_most: NonNegativeFloat | None = None
    what: str | Both = ""


class Published(Strict):
    """What others have published, as text, with its source. The keys are the names of the figures to compare with."""

    text: str | Both
    source: str | Both


class Node(Strict):
    """The whole node, its measured and published figures still as they are read."""

    heading: str = ""
    claim: str | Both
    source: str | Both
    command: str = ""
    further: str = ""
    cost: Cost
    needs: list[Need] = []
    agreement: Agreement
    remarks: str = ""
    shows: list[str] = []
    conditions: Conditions | None = None
    measured: Annotated[dict[str, dict[str, Any]], Field(default_factory=dict)]
    published: Annotated[dict[str, dict[str, Any]], Field(default_factory=dict)]


@dataclass(frozen=True)
class Evidence:
    """One claim. command: how it is tried. further: the other words of the command that was measured. needs: what not
    every machine has. agreement: whether what was measured agrees with the claim. conditions: None where nothing was
    measured. shows: the figures that stand for all in a table.
    """

    name: str
    file: Path
    heading: str
    claim: Text
    source: Text
    command: str
    further: str
    cost: Cost
    needs: tuple[Need, ...]
    agreement: Agreement
    remarks: str
    shows: tuple[str, ...]
    conditions: Conditions | None
    measured: Mapping[str, Figure]
    published: Mapping[str, Published]

    @property
    def is_study(self) -> bool:
        """Whether a study shows it, and not training runs."""
        return self.file.parent.name == "study"

    @property
    def cost_text(self) -> Text:
        """ "6 min, 75 runs", "45 min, 18 runs, CIFAR-10 needed" """
        return {lang: ", ".join(_cost_parts(self, lang)) for lang in LANGUAGES}

    def figure(self, metric: str) -> Figure:
        """The measured figure of this name. Raises InputError."""
        if metric not in self.measured:
            raise InputError(f"{self.name} has no measured figure {metric}; there are {', '.join(self.measured)}.")
        return self.measured[metric]


def _cost_parts(evidence: Evidence, lang: str) -> Iterator[str]:
    spanish = lang == "es"
    units = ((86_400, 48 * 3600, "días" if spanish else "days"), (3600, 5400, "h"), (60, 90, "min"), (1, 0, "s"))
    size, _, unit = next(u for u in units if evidence.cost.seconds >= u[1])
    on = both(evidence.cost.on)[lang]
    where = "" if on == HERE else f" {'en' if spanish else 'on'} {on}"
    runs = evidence.cost.runs
    yield f"{evidence.cost.seconds / size:.0f} {unit}" + (where if runs == 1 else "")
    if runs > 1:
        yield f"{runs} {'corridas' if spanish else 'runs'}{where}"
    for need in evidence.needs:
        yield f"requiere {NEEDS[need][lang]}" if spanish else f"{NEEDS[need][lang]} needed"


def both(text: str | Both) -> Text:
    """A text in both languages, also where it is the same in both."""
    return (
        dict.fromkeys(LANGUAGES, text) if isinstance(text, str) else {lang: getattr(text, lang) for lang in LANGUAGES}
    )


def claims(conf: Path = CONF) -> dict[str, Path]:
    """The file of each claim, by its name."""
    files = [*(conf / "evidence").glob("*.yaml"), *(conf / "study").glob("*.yaml")]
    return {file.stem: file for file in sorted(files, key=lambda file: file.stem)}


@cache
def read_evidence(name: str, conf: Path = CONF) -> Evidence:
    """The evidence of a study, an experiment or another claim. Raises InputError for a file that is not of its form."""
    file = claims(conf)[name]
    where = f"conf/{file.parent.name}/{file.name}: "
    found = _load(file, where)
    if file.parent.name == "study":
        found = {"command": f"python scripts/study.py {name}", **found.get("evidence", {})}
    node = check_options(Node, found, prefix=where)
    assert node is not None
    measured = {
        metric: checked(check_options(Figure, values, prefix=f"{where}measured.{metric}."), f"{where}measured.{metric}")
        for metric, values in node.measured.items()
    }
    published = {}
    for metric, values in node.published.items():
        published[metric] = check_options(Published, values, prefix=f"{where}published.{metric}.")
    if not node.command:
        raise InputError(f"{where}command is missing; it is what shows the claim, such as python train.py.")
    if measured and node.conditions is None:
        raise InputError(f"{where}conditions are missing; measured figures have a date, commit, machine and precision.")
    for metric in node.shows:
        if metric not in measured:
            raise InputError(f"{where}shows names {metric}, which is not measured; there are {', '.join(measured)}.")
    rest = {key: getattr(node, key) for key in ("heading", "command", "further", "cost", "agreement", "remarks")}
    return Evidence(
        name=name,
        file=file,
        claim=both(node.claim),
        source=both(node.source),
        needs=tuple(node.needs),
        shows=tuple(node.shows) or tuple(measured)[:2],
        conditions=node.conditions,
        measured=measured,
        published=published,  # type: ignore[arg-type]
        **rest,
    )


def checked(figure: Figure | None, where: str) -> Figure:
    """The figure, if it says by what another measurement is judged. Raises InputError."""
    assert figure is not None
    if figure.n == 1 and figure.deviation is not None:
        raise InputError(f"{where}: one run has no deviation; leave it out, or say of how many runs (n) it is.")
    if figure.deviation is None and figure.within is None and figure.at_most is None:
        raise InputError(
            f"{where}: a figure without a deviation needs within=… or at_most=…, by which another is judged."
        )
    return figure


def _load(file: Path, where: str) -> Any:
    try:
        found = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise InputError(f"{where}it is no YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(found, dict):
        raise InputError(f"{where}it is no mapping of claim, source, command, cost and figures.")
    return found
