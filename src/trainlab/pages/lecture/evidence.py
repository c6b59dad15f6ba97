"""A study, an experiment or a command under its heading: figures, sliders, the numbers, the command, what was seen."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from trainlab.configuration.lecture import Number, Shown
from trainlab.pages.document import picture_uri
from trainlab.pages.lecture.bilingual import in_one, inline, tell
from trainlab.pages.lecture.records import MOST_BYTES, Record, Series, those_of, words_of
from trainlab.recording.section import LANGUAGES

COLUMNS = (("here", "aquí"), ("published or expected", "publicado o esperado"), ("source", "fuente"))
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Evidence:
    """What shows an idea, on the page. html: all of it. is_run: whether there are figures or numbers of it.
    can_be_shown: whether there could be.
    """

    html: str
    is_run: bool
    can_be_shown: bool


def evidence_of(shown: Shown, records: Sequence[Record], others: Sequence[Shown]) -> Evidence:
    """What `records` have of what is to be shown. others: all that the lecture shows, this one among them."""
    found = those_of(shown, records, others)
    sound = [record for record in found if not record.problem and not record.unreported]
    can_be_shown = not shown.command.startswith("python scripts/describe.py")
    if sound:
        return Evidence(run(shown, sound), True, True)
    return Evidence(not_run(shown, found, can_be_shown), False, can_be_shown)


def run(shown: Shown, records: Sequence[Record]) -> str:
    """What is to be shown as HTML, from a record of each language; where there is one language only, that is shown in
    both.
    """
    by_language = {record.lang: record for record in records}
    some = next(iter(by_language.values()))
    if len(by_language) == 1:
        parts = [remark(shown, some), pictures(shown, some), *(sliders(shown, series) for series in some.series)]
        seen = what_was_seen(shown, some)
    else:
        parts = [in_one(lang, both_parts(shown, by_language[lang]), "div") for lang in LANGUAGES]
        seen = "".join(in_one(lang, what_was_seen(shown, by_language[lang]), "div") for lang in LANGUAGES)
    return "\n".join(
        [
            f'<article class="evidence run" id="{identifier(shown)}">',
            claim(shown),
            *filter(None, parts),
            table_of_numbers(shown, some),
            command(shown.command if some.words == words_of(shown.words) else some.command, shown, done=True),
            seen,
            "</article>",
        ]
    )


def both_parts(shown: Shown, record: Record) -> str:
    """The figures of a record and its sliders, as HTML."""
    return pictures(shown, record) + "".join(sliders(shown, series, record.lang) for series in record.series)


def not_run(shown: Shown, found: Sequence[Record], can_be_shown: bool) -> str:
    """Greyed: what it would show, what it costs, and why it is not here."""
    why, what = tell("Not run yet", "Sin ejecutar"), shown.command
    if not can_be_shown:
        why = tell("To try", "Para probar")
    if found:
        record = found[-1]
        if record.unreported:
            why = tell("Run, and not drawn yet", "Ejecutado, sin dibujar")
            what = f"python scripts/report.py {record.folder} --table"
        if record.problem:
            why = tell("Damaged", "Dañado") + f": {escape(record.problem)}"
    return "\n".join(
        [
            f'<article class="evidence todo" id="{identifier(shown)}">',
            claim(shown),
            f'<p class="why">{why}</p>',
            table_of_numbers(shown, None),
            command(what, shown, done=False),
            "</article>",
        ]
    )


def claim(shown: Shown) -> str:
    """What is to be seen, as HTML; of a study it is what the lecture says."""
    who = f'<span class="who">{tell("The lecture: ", "La clase: ")}</span>' if shown.kind == "study" else ""
    return f'<p class="claim">{who}{inline(shown.claim)}</p>'


def identifier(shown: Shown) -> str:
    """The address of its place on the page, such as "show-l2_sweep"."""
    return "show-" + (shown.name or "-".join("".join(c if c.isalnum() else " " for c in shown.command).split()))


def remark(shown: Shown, record: Record) -> str:
    """A note for whoever reads the other language."""
    if not (record.figures or record.series):
        return ""
    other = next(lang for lang in LANGUAGES if lang != record.lang)
    says = {
        "en": "Its figures have been drawn in Spanish only; lang=en draws them in English.",
        "es": "Sus figuras están solo en inglés" + "; lang=es las dibuja en español" * (shown.kind == "study") + ".",
    }
    return in_one(other, escape(says[other]), "p").replace(f'class="{other}"', f'class="{other} remark"')


def pictures(shown: Shown, record: Record) -> str:
    """The first figure large, the others beside each other."""
    names = [name for name in (shown.figures or record.figures) if name in record.figures]
    if shown.first in names:
        names.remove(shown.first)
        names.insert(0, shown.first)
    if not names:
        return ""
    large, *others = (figure(record, name) for name in names)
    return large + (f'\n<div class="others">{"".join(others)}</div>' if others else "")


def figure(record: Record, name: str) -> str:
    """One figure of a record, as HTML with the picture inside."""
    file, alt = record.figures[name], f"{record.title}: {name.replace('_', ' ')}"
    return f"<figure>{image(file, alt)}</figure>"


def image(file: Path, alt: str) -> str:
    """The picture itself, or why it is not here."""
    try:
        if file.stat().st_size > MOST_BYTES:
            why = tell("Too large for this page", "Demasiado grande para esta página")
            return f'<p class="why">{why}: {escape(alt)}</p>'
        uri, size = picture_uri(file), size_of(file)
    except OSError:
        return f'<p class="why">{tell("The picture is gone", "La figura ya no está")}: {escape(alt)}</p>'
    return f'<img src="{uri}" alt="{escape(alt)}"{size}>'


def size_of(file: Path) -> str:
    """Width and height as attributes, so that nothing moves when the picture is there; "" for what is no picture."""
    with file.open("rb") as opened:
        head = opened.read(24)
    if head.startswith(b"\x89PNG") and len(head) == 24:
        width, height = struct.unpack(">II", head[16:24])
    elif head.startswith(b"GIF8") and len(head) == 24:
        width, height = struct.unpack("<HH", head[6:10])
    else:
        return ""
    return f' width="{width}" height="{height}"'


def sliders(shown: Shown, series: Series, lang: str = "en") -> str:
    """A row of figures, of which the script makes one figure with a slider."""
    frames = "".join(
        f"<figure>{image(file, f'{series.symbol} = {value}')}"
        f"<figcaption>{escape(series.symbol)} = {escape(value)}</figcaption></figure>"
        for value, file in zip(series.values, series.figures, strict=True)
    )
    key = f"{shown.name}.{series.name}"
    return f'<div class="series" data-key="{escape(key)}" data-lang="{lang}">{frames}</div>'


def table_of_numbers(shown: Shown, record: Record | None) -> str:
    """Each value beside the published one; without a record its place is empty."""
    if not shown.numbers:
        return ""
    head = [tell(*text) for text in COLUMNS]
    rows = []
    for number in shown.numbers:
        cells = (here(number, record), published(number, record), inline(number.source))
        labelled = (
            f'<td{kind}><span class="label">{name}: </span>{cell}</td>' if cell else "<td></td>"
            for kind, name, cell in zip((' class="here"', "", ""), head, cells, strict=True)
        )
        rows.append(f'<tr><th scope="row">{inline(number.what)}</th>{"".join(labelled)}</tr>')
    columns = "".join(f'<th scope="col">{name}</th>' for name in head)
    return (
        '<div class="scroll"><table class="numbers"><thead><tr><td></td>'
        f"{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def here(number: Number, record: Record | None) -> str:
    """ "2.89 ± 0.34 %"; a dash where the record has no such value."""
    values = record.numbers if record else {}
    value = values.get(number.here, math.nan)
    if number.over is not None:
        value /= values.get(number.over) or math.nan
    return written(value, deviation_of(number.here, values) if number.over is None else math.nan, number.spec)


def published(number: Number, record: Record | None) -> str:
    """What others have published beside a number of ours, as HTML. record: of the run that it comes from, if it was
    run.
    """
    if number.published is not None:
        return inline(number.published)
    assert number.beside is not None
    values = record.numbers if record else {}
    return written(values.get(number.beside, math.nan), deviation_of(number.beside, values), number.beside_spec)


def deviation_of(name: str, values: dict[str, float]) -> float:
    """The deviation beside a number: of "a/b" under "a/b_sd", or of "a/b/c=1" under "a/b_sd/c=1"; NaN where there is
    none.
    """
    whole, _, last = name.rpartition("/")
    return values.get(f"{name}_sd", values.get(f"{whole}_sd/{last}", math.nan))


def written(value: float, deviation: float, spec: str) -> str:
    """A number with its deviation as people write it, as HTML: 7.6·10⁻¹⁰, −0.2, 2.89 ± 0.34 %."""
    if math.isnan(value):
        return "–"
    unit = " %" if spec.endswith("%") else ""
    if unit:
        value, deviation, spec = 100 * value, 100 * deviation, spec[:-1] + "f" * (not spec[:-1].endswith("f"))
    text = format(value, spec)
    mantissa, e, exponent = text.partition("e")
    if e:
        text = f"{mantissa}·10{str(int(exponent)).translate(SUPERSCRIPT)}" if value else "0"
    spread = "" if math.isnan(deviation) else f" ± {format(deviation, spec)}"
    return escape((text + spread).replace("-", "−") + unit)


def command(text: str, shown: Shown, *, done: bool) -> str:
    """A command as HTML, with a button that copies it, and its cost."""
    cost = (
        ""
        if not done and text != shown.command
        else (f'<p class="cost">{tell("Cost on 2 cores", "Costo en 2 núcleos")}: {inline(shown.cost)}</p>')
    )
    copy = f'<button type="button" class="copy no-print" hidden>{tell("Copy", "Copiar")}</button>'
    typed = escape(text)
    if text.startswith("python scripts/study.py "):  # which can speak both
        typed = tell(text, f"{text} lang=es")
    return f'<div class="command"><pre><code>{typed}</code></pre>{copy}{cost}</div>'


def what_was_seen(shown: Shown, record: Record) -> str:
    """The record's own table, sentences and comparisons, in its language."""
    parts = []
    if record.rows:
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in record.head)
        body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in record.rows)
        parts.append(f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')
    parts += [f"<p>{escape(sentence)}</p>" for sentence in record.sentences]
    if record.oracles:
        items = "".join(
            f"<li>{escape(o.against)}: {written(o.difference, math.nan, '.2g')} "
            f"({tell('at most', 'a lo más')} {written(o.bound, math.nan, '.2g')}) "
            f"{'✓' if o.difference <= o.bound else '✗'}</li>"
            for o in record.oracles
        )
        parts.append(f'<p>{tell("Held to:", "Contrastado con:")}</p><ul class="oracles">{items}</ul>')
    if not parts:
        return ""
    name = tell("The whole finding", "El resultado completo")
    inside = f'<summary>{name}</summary><div lang="{record.lang}">{"".join(parts)}</div>'
    return f'<details class="seen"{" open" if shown.table_open else ""}>{inside}</details>'
