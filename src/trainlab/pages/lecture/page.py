"""The lecture as one page: ``python scripts/report.py --lecture lecture.html``.

Its headings in their order, each with its idea, the figures of what has been run, the number beside the published one,
and the command. Both languages are on the page, which needs no script for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainlab.configuration.lecture import Heading, Lecture, read_lecture
from trainlab.errors import InputError
from trainlab.pages.document import document, static, write_document
from trainlab.pages.lecture.bilingual import block, inline, tell
from trainlab.pages.lecture.evidence import Evidence, evidence_of
from trainlab.pages.lecture.records import Record, find_records

RUNS = Path("runs")


def write_lecture(file: Path, folders: Sequence[Path]) -> list[str]:
    """Writes the page from what lies in `folders`; none: in runs/, if it is there. Returns what is damaged, a sentence
    each. Raises InputError.
    """
    if file.is_dir():
        raise InputError(f"{file} is a folder", hint="name a file, such as lecture.html")
    records = find_records(folders or [folder for folder in (RUNS,) if folder.is_dir()])
    write_document(file, page(read_lecture(), records), hint="choose another file after --lecture")
    return [record.problem for record in records if record.problem]


def page(lecture: Lecture, records: Sequence[Record]) -> str:
    """The whole page as HTML; the same lecture and records give the same text."""
    everything = [shown for heading in lecture.headings for shown in heading.shown_by]
    found = {
        heading.id: [evidence_of(shown, records, everything) for shown in heading.shown_by]
        for heading in lecture.headings
    }
    sections = [section(k + 1, heading, found[heading.id]) for k, heading in enumerate(lecture.headings)]
    body = "\n".join(
        [
            '<a class="skip" href="#main">' + tell("Skip to the lecture", "Saltar a la clase") + "</a>",
            top(lecture, [e for some in found.values() for e in some]),
            '<div class="layout">',
            contents(lecture.headings, found),
            '<main id="main">',
            *sections,
            foot(),
            "</main>",
            "</div>",
        ]
    )
    title = f"{lecture.title['es']} · {lecture.title['en']}"
    styles, scripts = [static("base.css"), static("lecture.css")], [static("lecture.js")]
    return document(title, body, styles=styles, scripts=scripts)


def top(lecture: Lecture, every: Sequence[Evidence]) -> str:
    """Title and switches, as HTML. The languages are radio buttons, so that a page without a script switches, too."""
    can = [evidence for evidence in every if evidence.can_be_shown]
    done = sum(evidence.is_run for evidence in can)
    counted = tell(
        f"{done} of {len(can)} demonstrations have been run.", f"{done} de {len(can)} demostraciones se han ejecutado."
    )
    return f"""<header class="top">
<div class="switches no-print">
<fieldset class="languages"><legend>{tell("Language", "Idioma")}</legend>
<input type="radio" name="lang" id="lang-en" value="en" checked><label for="lang-en" lang="en">English</label>
<input type="radio" name="lang" id="lang-es" value="es"><label for="lang-es" lang="es">Español</label>
</fieldset>
<button type="button" id="theme" hidden>{tell("Light or dark", "Claro u oscuro")}</button>
</div>
<p class="course">{block(lecture.course, lecture.course)}</p>
<h1>{inline(lecture.title)}</h1>
<p class="motto">{inline(lecture.motto)}</p>
<p class="counted">{counted}</p>
</header>"""


def contents(headings: Sequence[Heading], found: dict[str, list[Evidence]]) -> str:
    """The table of contents, as HTML: each heading, and how much of what shows it has been run here."""
    lines = []
    for heading in headings:
        can = [evidence for evidence in found[heading.id] if evidence.can_be_shown]
        done = sum(evidence.is_run for evidence in can)
        state = "none" if not can else "done" if done == len(can) else "part" if done else "todo"
        says = {
            "none": "",
            "done": tell("run", "ejecutado"),
            "part": tell("in part", "en parte"),
            "todo": tell("not run yet", "sin ejecutar"),
        }[state]
        lines.append(
            f'<li class="{state}"><a href="#{heading.id}">{inline(heading.short)}</a>'
            + (' <span class="state"><span>' + says + "</span></span>" if says else "")
            + "</li>"
        )
    name = tell("Contents", "Contenido")
    return (
        f'<nav class="contents no-print"><details open><summary>{name}</summary>\n<ol>\n'
        + "\n".join(lines)
        + "\n</ol></details></nav>"
    )


def section(number: int, heading: Heading, found: Sequence[Evidence]) -> str:
    """One heading with what shows it, as HTML. In English the lecture's own words stand above."""
    same = heading.heading["en"] == heading.heading["es"]
    original = "" if same else f'<p class="original en" lang="es">{block(heading.heading["es"])}</p>\n'
    return f"""<section class="heading" id="{heading.id}" aria-labelledby="{heading.id}-title">
{original}<h2 id="{heading.id}-title"><span class="number">{number}</span> {inline(heading.heading)}</h2>
<p class="idea">{inline(heading.idea)}</p>
{chr(10).join(evidence.html for evidence in found)}
</section>"""


def foot() -> str:
    """The last lines of the page, in both languages."""
    return (
        "<footer><p>"
        + tell(
            "Each figure was made by the command below it; its text is a record's. What is grey has not been run here: "
            "run its command, and make this page anew with",
            "Cada figura fue hecha por el comando que está debajo. Lo gris no se ha ejecutado aquí: basta ejecutar su "
            "comando y volver a hacer esta página con",
        )
        + " <code>python scripts/report.py --lecture lecture.html</code>.</p></footer>"
    )
