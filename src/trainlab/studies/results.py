"""Errors on ImageNet from 2010 to today: published figures, each with its source, beside those of the lecture.

Lecture: "La combinación de todo esto generó resultados sorprendentes para la época" and "Rendimiento ha continuado
mejorando". The figures are data, conf/study/results.csv. Nothing is measured here; they are checked against the
challenge's own page, against what torchvision records of its weights, and against each other.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from trainlab.configuration.folder import CONF
from trainlab.errors import InputError
from trainlab.recording.section import Say, Section, speaker
from trainlab.studies.finding import Finding, Oracle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = CONF / "study" / "results.csv"
COLUMNS = ("year", "kind", "name", "nombre", "top1", "top5", "set", "conjunto", "source", "fuente", "checked")
ENTRY, RUNNER_UP, ALEXNET, ON_2010, NETWORK, HUMAN = "entry", "runner_up", "alexnet", "on_2010", "network", "human"
LECTURE_2012, LECTURE_HUMAN, LECTURE_TODAY = "lecture_2012", "lecture_human", "lecture_today"
KINDS = (ENTRY, RUNNER_UP, ALEXNET, ON_2010, NETWORK, HUMAN, LECTURE_2012, LECTURE_HUMAN, LECTURE_TODAY)
MEASURES = ("top5", "top1")

# The challenge's own results of 2012, five guesses: https://image-net.org/challenges/LSVRC/2012/results.html
OFFICIAL_2012 = {"AlexNet": 15.315, "5 CNNs": 16.422, "runner-up (ISI)": 26.172}
VALIDATION, TEST = 50_000, 100_000  # images of ILSVRC-2012, as used by the challenge
LESS_THAN_2016 = 25.0  # % less error than in 2016: Hu et al. 2018, abstract


@dataclass(frozen=True)
class Result:
    """A published result.

    year: None for what the lecture does not date. kind: which sort of entry, a word of conf/study/results.csv. top1,
    top5: errors in %, NaN where not published. nombre, conjunto, fuente: name, set (of images) and source in Spanish.
    checked: when the source was read.
    """

    year: int | None
    kind: str
    name: str
    nombre: str
    top1: float
    top5: float
    set: str
    conjunto: str
    source: str
    fuente: str
    checked: str

    def called(self, say: Say) -> str:
        """The name of the result in the study's language; torchvision's without "_Weights" and what follows."""
        return say(self.name, self.nombre).split("_Weights")[0].replace("_", "-")

    def error(self, measure: str) -> float:
        """The error of this measure, "top1" or "top5", in percent."""
        return self.top1 if measure == "top1" else self.top5


def study(*, measure: str = "top5", rows: str | None = None, lang: str = "en") -> Finding:
    """Draw the published errors of ILSVRC beside what the lecture says of them.

    measure: top5 or top1, the error against the years. rows: a file with more of them, its columns those of
    conf/study/results.csv. Raises InputError.
    """
    say = speaker(lang)
    if measure not in MEASURES:
        raise InputError(f"there is no measure={measure}; use {' or '.join(MEASURES)}.")
    results = read(FILE)
    checked = oracles(results, recorded_by_torchvision(results), say)
    drawn = results + (read(Path(rows).expanduser()) if rows is not None else [])
    section = Section(
        say("ImageNet's errors, 2010 to today", "Errores en ImageNet, de 2010 a hoy"),
        head=[
            say("year", "año"),
            say("result", "resultado"),
            say("top-1 error", "error top-1"),
            say("top-5 error", "error top-5"),
            say("images", "imágenes"),
            say("source", "fuente"),
        ],
        rows=[
            [
                str(r.year or "–"),
                r.called(say),
                shown(r.top1),
                shown(r.top5),
                say(r.set, r.conjunto),
                say(r.source, r.fuente),
            ]
            for r in drawn
        ],
        sentences=[seen(results, say), slips(results, say)],
        figures={
            "results": partial(draw_years, drawn, measure, say),
            "alexnet_2012": partial(draw_2012, results, say),
        },
    )
    return Finding(section, numbers(results), checked)


def read(file: Path) -> list[Result]:
    """The results in a CSV file. Raises InputError, with the line, for what is not such a table."""
    if not file.is_file():
        raise InputError(f"rows={file} is not there; it is a table with the columns {', '.join(COLUMNS)}.")
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            table = csv.DictReader(lines)
            if tuple(table.fieldnames or ()) != COLUMNS:
                raise InputError(f"{file} has the columns {', '.join(table.fieldnames or ['none'])}; "
                                 f"use {','.join(COLUMNS)}.")  # fmt: skip
            return [result_of(cells, f"{file}, line {table.line_num}") for cells in table]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise InputError(f"{file} cannot be read as a table of text in UTF-8, with commas.") from error


def result_of(cells: dict[str, str], where: str) -> Result:
    """One row of the table. where: file and line, for the InputError that is raised for a row that is none."""
    if None in cells or None in cells.values():
        raise InputError(f"{where} has not the {len(COLUMNS)} cells of the head; put texts with commas in quotes.")
    if cells["kind"] not in KINDS:
        raise InputError(f"{where}: there is no kind {cells['kind']!r}; use {', '.join(KINDS)}.")
    try:
        year = int(cells["year"]) if cells["year"] else None
        top1, top5 = (float(cells[key]) if cells[key] else math.nan for key in MEASURES[::-1])
    except ValueError as error:
        raise InputError(f"{where}: year, top1 and top5 are numbers, or empty.") from error
    if any(value < 0 or value > 100 or math.isinf(value) for value in (top1, top5)):
        raise InputError(f"{where}: errors are between 0 and 100 %.")
    if year is None and cells["kind"] in (ENTRY, NETWORK):
        raise InputError(f"{where}: {cells['kind']} is drawn over its year, which is missing.")
    if not cells["source"]:
        raise InputError(f"{where} has no source.")
    rest = {key: cells[key] for key in COLUMNS if key not in ("year", *MEASURES)}
    return Result(year=year, top1=top1, top5=top5, **rest)


def recorded_by_torchvision(results: Sequence[Result]) -> dict[str, tuple[float, float]]:
    """top-1 and top-5 errors in % by the weights' names, from the torchvision that is installed."""
    from torchvision.models import get_weight

    errors = {}
    for result in results:
        if result.kind == NETWORK:
            right = get_weight(result.name).meta["_metrics"]["ImageNet-1K"]
            errors[result.name] = (100 - right["acc@1"], 100 - right["acc@5"])
    return errors


def one(results: Sequence[Result], kind: str, name: str | None = None) -> Result:
    """The first result of this kind and, if it is given, of this name."""
    return next(r for r in results if r.kind == kind and name in (None, r.name))


def numbers(results: Sequence[Result]) -> dict[str, float]:
    """What follows from the table: errors in points."""
    first, winner = one(results, RUNNER_UP), one(results, ENTRY, "AlexNet")
    single, seven = one(results, ALEXNET, "1 CNN"), one(results, ALEXNET, "7 CNNs, extra data")
    return {
        "points_below_runner_up": first.top5 - winner.top5,
        "percent_below_runner_up": 100 * (1 - winner.top5 / first.top5),
        "points_of_averaging_and_data_top5": single.top5 - seven.top5,
        "points_of_averaging_and_data_top1": single.top1 - seven.top1,
        "lecture_top1_too_low_by": seven.top1 - one(results, LECTURE_2012).top1,
        "results": float(len(results)),
    }


def oracles(results: Sequence[Result], recorded: dict[str, tuple[float, float]], say: Say) -> tuple[Oracle, ...]:
    """What the table is checked against: the challenge's pages, torchvision's records, and the lecture's figures."""
    by_name = {r.name: r for r in results if r.kind in (ENTRY, ALEXNET, RUNNER_UP)}
    official = max(abs(by_name[name].top5 - value) for name, value in OFFICIAL_2012.items())
    networks = {r.name: (r.top1, r.top5) for r in results if r.kind == NETWORK}
    apart = max(abs(a - b) for name in networks for a, b in zip(networks[name], recorded[name], strict=True))
    today = one(results, LECTURE_TODAY)
    best = [min(column) for column in zip(*recorded.values(), strict=True)]
    senet, trimps = one(results, ENTRY, "SENet").top5, one(results, ENTRY, "Trimps-Soushen").top5
    return (
        Oracle("official_2012", official, 0.05, say(
            "the challenge's page of results, 2012 (15.315, 16.422, 26.172 %): largest difference, points",
            "página de resultados del desafío, 2012 (15.315, 16.422, 26.172 %): mayor diferencia, puntos")),
        Oracle("torchvision", apart, 1e-6, say(
            "what the installed torchvision records of its weights: largest difference, points",
            "lo que registra de sus pesos la torchvision instalada: mayor diferencia, puntos")),
        Oracle("today", max(abs(today.top1 - best[0]), abs(today.top5 - best[1])), 0.5, say(
            "the lecture's 89 % and 99 % against the best of these weights: largest difference, points (rounding)",
            "el 89 % y el 99 % de la clase contra los mejores de estos pesos: mayor diferencia, puntos (redondeo)")),
        Oracle("validation_and_test", val_against_test(by_name), 3, say(
            "validation against test error of the same networks: largest difference, in its standard errors",
            "error de validación contra test de las mismas redes: mayor diferencia, en sus errores estándar")),
        Oracle("relative_2017", abs(100 * (1 - senet / trimps) - LESS_THAN_2016), 0.5, say(
            "the 25 % less than in 2016 of Hu et al.'s abstract: difference, points (rounding)",
            "el 25 % menos que en 2016 del resumen de Hu et al.: diferencia, puntos (redondeo)")),
        Oracle("orderings", float(disorders(results)), 0, say(
            "more networks err less, five guesses less than one, ten views less than one, winners less each year: "
            "exceptions",
            "más redes se equivocan menos, cinco intentos menos que uno, diez vistas menos que una, los ganadores "
            "menos cada "
            "año: excepciones")),
    )  # fmt: skip


def val_against_test(by_name: dict[str, Result]) -> float:
    """The largest difference between validation and test error, of the ensembles of which both were published, in
    standard errors of the difference.
    """
    pairs = (
        (by_name["7 CNNs, extra data"].top5, OFFICIAL_2012["AlexNet"]),
        (by_name["5 CNNs"].top5, OFFICIAL_2012["5 CNNs"]),
    )
    return max(
        abs(validation - test) / (100 * math.sqrt(test / 100 * (1 - test / 100) * (1 / VALIDATION + 1 / TEST)))
        for validation, test in pairs
    )


def disorders(results: Sequence[Result]) -> int:
    """How many pairs of figures stand in an order that cannot be, such as a top-5 error above the top-1 error."""
    averaged = [r for r in results if r.kind == ALEXNET]
    views = [r for r in results if r.kind == ON_2010]
    winners = sorted((r for r in results if r.kind == ENTRY), key=lambda r: r.year or 0)
    pairs = [(b.top5, a.top5) for a, b in pairwise(averaged)]
    pairs += [(b.top1, a.top1) for a, b in pairwise(averaged)]
    pairs += [(b.top5, a.top5) for a, b in pairwise(winners)]
    pairs += [(views[0].top1, views[1].top1), (views[0].top5, views[1].top5)]
    pairs += [(r.top5, r.top1) for r in results if not math.isnan(r.top1 + r.top5)]
    pairs += [(r.top5, one(results, RUNNER_UP).top5) for r in averaged]
    return sum(not less < more for less, more in pairs)


def shown(error: float) -> str:
    """An error as text, with its percent sign; a dash for one that was not published."""
    return "–" if math.isnan(error) else f"{error:g} %"


def seen(results: Sequence[Result], say: Say) -> str:
    """What the errors of all years show, in sentences."""
    found = numbers(results)
    first, winner = one(results, RUNNER_UP), one(results, ENTRY, "AlexNet")
    before, last = one(results, ENTRY, "NEC-UIUC"), one(results, ENTRY, "SENet")
    points, less = found["points_below_runner_up"], found["percent_below_runner_up"]
    return say(
        f"From {before.top5:g} % in {before.year} the winners' top-5 error falls to {last.top5:g} % in {last.year}. "
        f"The step of 2012 is the one that the lecture is about: {winner.top5:g} % against the runner-up's "
        f"{first.top5:g} %, {points:.1f} points or {less:.1f} % less. From 2012 on the winners are ensembles with many "
        "views; torchvision's networks are single, with one view, and lie above the winners of the same years.",
        f"Desde {before.top5:g} % en {before.year}, el error top-5 de los ganadores baja a {last.top5:g} % en "
        f"{last.year}. El salto de 2012 es el de la clase: {winner.top5:g} % contra {first.top5:g} % del segundo "
        f"lugar, {points:.1f} puntos o {less:.1f} % menos. Desde 2012 los ganadores son ensambles con muchas vistas; "
        "las redes de torchvision van solas y con una vista, y quedan más arriba que los ganadores de los mismos años.",
    )


def slips(results: Sequence[Result], say: Say) -> str:
    """Where the lecture's figures differ from what was published, in sentences."""
    single, seven = one(results, ALEXNET, "1 CNN"), one(results, ALEXNET, "7 CNNs, extra data")
    five, person = one(results, ALEXNET, "5 CNNs"), one(results, HUMAN)
    claimed, said_human, today = (one(results, kind) for kind in (LECTURE_2012, LECTURE_HUMAN, LECTURE_TODAY))
    best = min((r for r in results if r.kind == NETWORK), key=lambda r: r.top1)
    right = f"{100 - best.top1:.1f} %", f"{100 - best.top5:.1f} %"
    return say(
        f"The lecture's slips: «top-1 error {claimed.top1:g} %» is the runner-up's top-5 error; AlexNet's top-1 is "
        f"{single.top1:g} % with one network and {seven.top1:g} % with seven. «Top-5 error {claimed.top5:g} %» is that "
        f"of seven averaged networks, some trained on extra data; one network has {single.top5:g} %, five without "
        f"extra data {five.top5:g} %. «Human error about {said_human.top5:g} %» has no source there; the published "
        f"measurement is {person.top5:g} % (one trained person, 1,500 images). «Today about {100 - today.top1:g} % and "
        f"{100 - today.top5:g} %» agrees with {best.called(say)}: {right[0]} and {right[1]}.",
        f"Deslices de la clase: «error top-1: {claimed.top1:g} %» es el error top-5 del segundo lugar; el top-1 de "
        f"AlexNet es {single.top1:g} % con una red y {seven.top1:g} % con siete. «Error top-5: {claimed.top5:g} %» es "
        f"el de siete redes promediadas, algunas entrenadas con datos extra; una red tiene {single.top5:g} %, y cinco "
        f"sin datos extra {five.top5:g} %. «Error humano: aprox. {said_human.top5:g} %» no trae fuente; la medición "
        f"publicada es {person.top5:g} % (una persona entrenada, 1500 imágenes). «Alrededor de {100 - today.top1:g} % "
        f"y {100 - today.top5:g} %» coincide con {best.called(say)}: {right[0]} y {right[1]}.",
    )


def draw_years(results: Sequence[Result], measure: str, say: Say) -> Figure:
    """Bars in the order of the years; of one year first the entries of the challenge."""
    from trainlab.figures.studies import results as figures

    kinds = {ENTRY: figures.WINNER, RUNNER_UP: figures.WINNER, NETWORK: figures.NETWORK, HUMAN: figures.PERSON}
    if measure == "top1":  # which the challenge did not ask for
        kinds[ALEXNET] = figures.ALEXNET
    drawn = [r for r in results if r.kind in kinds and not math.isnan(r.error(measure))]
    rows = []
    for r in sorted(drawn, key=lambda r: (r.year or 0, list(kinds).index(r.kind))):
        alexnet = r.kind == ENTRY and r.name == "AlexNet"
        rows.append((f"{r.year} {r.called(say)}", r.error(measure), figures.ALEXNET if alexnet else kinds[r.kind]))
    without_year = (LECTURE_HUMAN, LECTURE_TODAY, *((LECTURE_2012,) if measure == "top1" else ()))
    lines = [(r.called(say), r.error(measure)) for r in results if r.kind in without_year]
    lines = [(name, error) for name, error in lines if not math.isnan(error)]
    return figures.errors_by_year(rows, lines, measure, say)


def draw_2012(results: Sequence[Result], say: Say) -> Figure:
    """The entries of 2012 beside the lecture's figures."""
    from trainlab.figures.studies.results import the_year_2012

    bars = [(r.called(say), r.top1, r.top5) for r in results if r.kind in (RUNNER_UP, ALEXNET)]
    claimed = one(results, LECTURE_2012)
    return the_year_2012(bars, (claimed.top1, claimed.top5), say)
