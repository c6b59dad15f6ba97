"""What has been run of the lecture: studies, reported sweeps and runs, found in folders and read without torch."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from trainlab.command.studies.writing import read_results_of
from trainlab.configuration.lecture import Shown, order
from trainlab.errors import InputError
from trainlab.recording.run_directory import LARGEST, OVERRIDES, RESULTS, load_overrides, load_results, read_json
from trainlab.recording.section import LANGUAGES, SECTION
from trainlab.sweeps.launch import SWEEP

NOT_LOOKED_INTO = {"checkpoints", "figures", "profile", "set_aside", "wandb"}
OF_NO_CONSEQUENCE = ("-m", "lang=", "logger=", "run_dir=", "hydra.", "hydra/", "data.root=")
PICTURES = (".png", ".gif")
MOST_BYTES = 4_000_000  # of a picture on the page


class SeriesFile(BaseModel):
    """The figures of a slider, as section.json lists them: each value beside the file of its figure."""

    model_config = ConfigDict(strict=True)
    name: str
    symbol: str
    values: list[str]
    figures: list[str]


class OracleFile(BaseModel):
    """What a study was checked against, as section.json says it."""

    model_config = ConfigDict(strict=True)
    against: str
    difference: float
    bound: float


class SectionFile(BaseModel):
    """section.json, as far as it is read: of a study, or of a sweep's report, which has its numbers there."""

    model_config = ConfigDict(strict=True)
    command: str = ""
    lang: str = "en"
    title: str
    head: list[str]
    rows: list[list[str]]
    sentences: list[str]
    oracles: list[OracleFile] = []
    figures: dict[str, str]
    series: list[SeriesFile] = []
    numbers: dict[str, float] = {}


class SweepFile(BaseModel):
    """A sweep.json, as far as it is read: the words of its command."""

    model_config = ConfigDict(strict=True)
    overrides: list[str]


SECTIONS, SWEEPS = TypeAdapter(SectionFile), TypeAdapter(SweepFile)


@dataclass(frozen=True)
class Series:
    """One figure for each value of what was swept. symbol, values: as people write them."""

    name: str
    symbol: str
    values: list[str]
    figures: list[Path]


@dataclass(frozen=True)
class Record:
    """A study, a sweep or a run. script, words: how it was asked for. lang: of its texts. problem: why it cannot be
    shown. unreported: a sweep without what scripts/report.py writes.
    """

    folder: Path
    script: str
    words: frozenset[str]
    lang: str = "en"
    title: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    sentences: Sequence[str] = ()
    oracles: Sequence[OracleFile] = ()
    figures: dict[str, Path] = field(default_factory=dict)
    series: Sequence[Series] = ()
    numbers: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    is_sweep: bool = False
    unreported: bool = False

    @property
    def command(self) -> str:
        """The command of the record as it is typed: a study or an experiment first, then the options by their names."""
        first = sorted(word for word in self.words if "=" not in word or word.startswith("experiment="))
        sweep = ["-m"] if self.is_sweep else []
        return shlex.join(["python", self.script, *sweep, *first, *sorted(self.words.difference(first))])


def find_records(folders: Iterable[Path]) -> list[Record]:
    """All records in these folders, in the order of their paths. Raises InputError for a folder that is none."""
    found: dict[Path, Record] = {}
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder", hint="name folders with studies, sweeps or runs, such as runs")
        for path, files in walk(folder):
            record = read_record(path, files)
            if record is not None:
                found.setdefault(path.resolve(), record)
    return sorted(found.values(), key=lambda record: str(record.folder))


def walk(folder: Path) -> Iterator[tuple[Path, set[str]]]:
    """Every folder with the names of its files; what lies inside of a sweep or a run is left out."""
    for path, names, files in os.walk(folder):
        yield Path(path), set(files)
        whole = SWEEP in files or ".hydra" in names
        names[:] = [] if whole else sorted(set(names) - NOT_LOOKED_INTO)


def read_record(folder: Path, files: set[str]) -> Record | None:
    """The record in a folder with these files; None where nothing in it is finished."""
    if SWEEP in files:
        return read_sweep(folder)
    if RESULTS not in files:
        return None
    if SECTION in files:
        return read_study(folder)
    return read_run(folder) if (folder / OVERRIDES).is_file() else None


def read_study(folder: Path) -> Record:
    """What a study has left in its folder; a record with a `problem` where that is damaged."""
    script = "scripts/study.py"
    try:
        section, results = read_json(folder / SECTION, SECTIONS), read_results_of(folder)
        assert section is not None
        words = words_of(shlex.split(section.command)[2:])
        return record_of(folder, script, words, section, numbers_among(results or {}))
    except (InputError, ValueError) as error:  # ValueError: a quote in the command that is not closed
        name = folder.name if folder.name in order() else folder.parent.name
        return Record(folder, script, frozenset({name}), problem=str(error))


def read_sweep(folder: Path) -> Record:
    """What a sweep and its report have left in its folder; `unreported` where there is no report yet."""
    script, words = "train.py", frozenset[str]()
    try:
        sweep = read_json(folder / SWEEP, SWEEPS)
        words = words_of(sweep.overrides if sweep else [])
        section = read_json(folder / SECTION, SECTIONS)
        if section is None:
            return Record(folder, script, words, is_sweep=True, unreported=True)
        return replace(record_of(folder, script, words, section, section.numbers), is_sweep=True)
    except InputError as error:
        return Record(folder, script, words, problem=str(error))


def read_run(folder: Path) -> Record:
    """What a single run has left in its folder; a record with a `problem` where that is damaged."""
    script, words = "train.py", frozenset[str]()
    try:
        words = words_of(load_overrides(folder) or [])
        results = load_results(folder) or {}
    except InputError as error:
        return Record(folder, script, words, problem=str(error))
    figures = {file.stem: file for file in sorted((folder / "figures").glob("*.png"))}
    return Record(folder, script, words, title=folder.parent.name, figures=figures, numbers=numbers_among(results))


def record_of(
    folder: Path, script: str, words: frozenset[str], section: SectionFile, numbers: Mapping[str, float]
) -> Record:
    """Raises InputError for figures that are none of its own."""
    return Record(
        folder,
        script,
        words,
        section.lang if section.lang in LANGUAGES else LANGUAGES[0],
        section.title,
        section.head,
        section.rows,
        section.sentences,
        section.oracles,
        {name: own_picture(folder, file) for name, file in section.figures.items()},
        [
            Series(s.name, s.symbol, s.values, [own_picture(folder, file) for file in s.figures])
            for s in section.series
            if s.figures and len(s.values) == len(s.figures)
        ],
        numbers_among(numbers),
    )


def own_picture(folder: Path, name: str) -> Path:
    """A picture that a record names, which is to lie in its folder. Raises InputError."""
    file = folder / name
    if "\0" in name or not file.resolve().is_relative_to(folder.resolve()) or file.suffix not in PICTURES:
        raise InputError(f"{folder / SECTION} is damaged (it names {name!r} as a picture of its own).")
    return file


def numbers_among(values: Mapping[str, object]) -> dict[str, float]:
    """The finite numbers among some values, by their names."""
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    finite = {name: value for name, value in numbers.items() if abs(value) < LARGEST}
    return {name: float(value) for name, value in finite.items() if not isinstance(value, bool)}


def words_of(words: Iterable[str]) -> frozenset[str]:
    """The words of a command without those that do not change what comes out."""
    return frozenset(word for word in words if not word.startswith(OF_NO_CONSEQUENCE))


def those_of(shown: Shown, records: Sequence[Record], others: Sequence[Shown]) -> list[Record]:
    """The records of a study, an experiment or a command: for each language the newest that was run as it is, else one
    with other options. Sound ones before damaged ones, reported ones before those that are not.
    """
    script = shlex.split(shown.command)[1]
    asked = words_of(shown.words)
    kind = {"study": shown.name, "experiment": f"experiment={shown.name}"}.get(shown.kind)
    taken = [words_of(other.words) for other in others if other is not shown]
    mine = [
        r for r in records if r.script == script and (r.words == asked or (kind in r.words and r.words not in taken))
    ]
    mine.sort(key=lambda r: (not r.problem, not r.unreported, r.words == asked, str(r.folder)))
    return list({r.lang: r for r in mine}.values())
