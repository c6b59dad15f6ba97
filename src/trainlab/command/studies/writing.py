"""One study, run and written down: figures, results.json, the paragraph, what a page needs, and a W&B record."""

from __future__ import annotations

import inspect
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from trainlab.command.main import footprint_of, make_writable
from trainlab.command.studies.options import Asked, function_of, read_study
from trainlab.errors import InputError
from trainlab.recording.run_directory import RESULTS, read_json
from trainlab.recording.section import SECTION, Say, speaker
from trainlab.recording.terminal import console, duration
from trainlab.survival.atomic import atomic_write, written
from trainlab.survival.lock import directory_lock

if TYPE_CHECKING:
    from trainlab.studies.finding import Finding, Oracle

PARAGRAPH = "paragraph.md"
OWN = (SECTION, PARAGRAPH, "figures", "wandb", ".lock")  # and results.json
SHOWN_AFTER = 2.0  # seconds of work before there is a progress bar
FLAT = TypeAdapter(dict[str, float | str | bool | None])


def run(asked: Asked, folder: Path) -> tuple[Finding, dict[str, Any]]:
    """Run a study and write all of it into `folder`; returns what was found, and what results.json holds. Raises
    InputError, which leaves nothing behind, and RunError.
    """
    refuse_occupied(folder)
    footprint = footprint_of(folder, "run_dir")
    try:
        make_writable(folder, "run_dir")
        with directory_lock(folder, or_else=f"another command is running in {folder}; choose another run_dir=…"):
            return run_in(asked, folder)
    except InputError:
        footprint.undo()
        raise


def refuse_occupied(folder: Path) -> None:
    """A finished study is not written over, and other people's files are not mixed with one. Raises InputError.

    A study that was stopped may have left some of its files: it is begun again there.
    """
    if (folder / RESULTS).exists():
        raise InputError(f"{folder} holds a study already; choose another run_dir=…")
    other = sorted(file.name for file in folder.glob("*") if file.name not in OWN)
    if folder.is_dir() and other:
        raise InputError(f"{folder} has other files in it, such as {other[0]}; choose another run_dir=…")


def run_in(asked: Asked, folder: Path) -> tuple[Finding, dict[str, Any]]:
    """The study, then all that it leaves; results.json last, which says that it is finished."""
    started = time.perf_counter()
    function, say = function_of(asked.name), speaker(asked.lang)
    with ProgressOnceSlow(asked.name) as progress:
        given = {"on_progress": progress} if "on_progress" in inspect.signature(function).parameters else {}
        finding = function(**asked.options, lang=asked.lang, **given)
        drawn = draw(finding, folder / "figures", asked, progress)
        series = draw_series(finding, folder / "figures", asked)
    with written(folder):
        results = results_of(asked, finding, time.perf_counter() - started)
        section = as_section(asked, finding, drawn, series)
        atomic_write(folder / SECTION, json.dumps(section, indent=2, ensure_ascii=False) + "\n")
        atomic_write(folder / PARAGRAPH, as_markdown(asked, finding, drawn, say))
        to_upload = record(asked, folder, results, drawn)
        atomic_write(folder / RESULTS, json.dumps(results, indent=2, allow_nan=False) + "\n")
    tell(finding, drawn, say)
    out = console()
    out.print(f"{os.path.relpath(folder)} ({duration(results['seconds'])})", soft_wrap=True)
    if to_upload:
        out.print(to_upload, soft_wrap=True)
    return finding, results


def results_of(asked: Asked, finding: Finding, seconds: float) -> dict[str, Any]:
    """One flat object; what is no finite number is null."""
    from trainlab.recording.results import provenance

    oracles = finding.oracles
    values = {
        "study": asked.name,
        "lang": asked.lang,
        **{f"option/{key}": as_plain(value) for key, value in asked.options.items()},
        **finding.numbers,
        **{f"oracle/{o.name}": o.difference for o in oracles},
        **{f"oracle/{o.name}/bound": o.bound for o in oracles},
        "oracles_hold": all(o.holds for o in oracles),
        "seconds": seconds,
        **provenance(),
    }
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}


def read_results_of(folder: Path) -> dict[str, Any] | None:
    """What results.json says of a study; None where it is not finished. Raises InputError where it is damaged."""
    return read_json(folder / RESULTS, FLAT)


def as_plain(value: Any) -> Any:
    """A list as text, so that results.json stays flat."""
    return value if isinstance(value, str | int | float | bool | None) else json.dumps(value)


def as_section(
    asked: Asked, finding: Finding, drawn: Mapping[str, Path], series: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The content of section.json, all that a page needs: claim, table, sentences, oracles, and the files of the
    figures.
    """
    evidence, section = read_study(asked.name)["evidence"], finding.section
    return {
        "study": asked.name,
        "command": asked.command,
        "lang": asked.lang,
        "title": section.title,
        "heading": evidence["heading"],
        "claim": evidence["claim"][asked.lang],
        "head": list(section.head),
        "rows": [list(row) for row in section.rows],
        "sentences": list(section.sentences),
        "oracles": [asdict(oracle) for oracle in finding.oracles],
        "figures": {name: f"figures/{path.name}" for name, path in drawn.items()},
        "series": list(series),
    }


def as_markdown(asked: Asked, finding: Finding, drawn: Mapping[str, Path], say: Say) -> str:
    """The claim, what was seen beside it, the table, the oracles and the figures."""
    evidence, section = read_study(asked.name)["evidence"], finding.section
    lines = [f"# {section.title}", "", f"{say('The lecture', 'La clase')}: «{evidence['heading']}».", ""]
    lines += [f"> {evidence['claim'][asked.lang]}", ""]
    lines += [text for sentence in section.sentences for text in (sentence, "")]
    if section.rows:
        table = [section.head, ["---"] * len(section.head), *section.rows]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table] + [""]
    lines += [f"- {oracle_line(oracle, say)}" for oracle in finding.oracles]
    lines += ["", *(f"![{name}](figures/{path.name})" for name, path in drawn.items()), "", f"`{asked.command}`"]
    return "\n".join(lines) + "\n"


def oracle_line(oracle: Oracle, say: Say) -> str:
    """ "2/λ_max, where descent begins to diverge: 0.0067 (at most 0.01): holds" """
    verdict = say("holds", "se cumple") if oracle.holds else say("DOES NOT HOLD", "NO SE CUMPLE")
    return f"{oracle.against}: {oracle.difference:.2g} ({say('at most', 'a lo más')} {oracle.bound:.2g}): {verdict}"


def draw(finding: Finding, folder: Path, asked: Asked, on_progress: Callable[[int, int], None]) -> dict[str, Path]:
    """The figures and animations, signed with the command and the seed; returns the files by their names."""
    from trainlab.figures.style import SLIDE_DPI, save, save_animation, sign

    paths: dict[str, Path] = {}
    pictures = len(finding.section.figures) + len(finding.animations)
    with written(folder):
        for name, make in finding.section.figures.items():
            on_progress(len(paths), pictures)
            figure = make()
            if figure is not None:
                sign(figure, small_print(asked, finding))
                paths[name] = folder / f"{name}.png"
                save(figure, paths[name], dpi=SLIDE_DPI)
        for name, make_all in finding.animations.items():
            on_progress(len(paths), pictures)
            paths[name] = folder / f"{name}.gif"
            save_animation(make_all(), paths[name])
    return paths


def draw_series(finding: Finding, folder: Path, asked: Asked) -> list[dict[str, Any]]:
    """The figures that a slider goes through; returns what section.json says of them."""
    from trainlab.figures.style import save_series

    with written(folder):
        return save_series(finding.section.series, folder, small_print(asked, finding))


def small_print(asked: Asked, finding: Finding) -> str:
    """The command and, where it matters, the seed, along a figure's lower edge."""
    if finding.seeded and "seed" in asked.options and not any(word.startswith("seed=") for word in asked.words):
        return f"{asked.command} · seed {asked.options['seed']}"
    return asked.command


def record(asked: Asked, folder: Path, results: Mapping[str, Any], drawn: Mapping[str, Path]) -> str | None:
    """Record a study at W&B; returns a sentence with the command that uploads what is not there yet, if anything is
    not.
    """
    if asked.logger != "wandb":
        return None
    from trainlab.recording import wandb_run

    run = wandb_run.start(
        folder,
        project="trainlab",
        mode="auto",
        tags=["study", asked.name],
        config={"study": asked.name, "lang": asked.lang} | {key: as_plain(v) for key, v in asked.options.items()},
        job_type="study",
    )
    if run is None:
        return None
    wandb_run.log_figures(run, drawn)
    return wandb_run.finish(run, results)


def tell(finding: Finding, drawn: Mapping[str, Path], say: Say) -> None:
    """Print the table, what was seen, the oracles, and where the figures are."""
    out, section = console(), finding.section
    if section.rows:
        table = Table(title=section.title, title_justify="left")
        for name in section.head:
            table.add_column(name, justify="right", overflow="fold")
        for row in section.rows:
            table.add_row(*row)
        out.print(table)
    for sentence in section.sentences:
        out.print(sentence)
    for oracle in finding.oracles:
        out.print(f"  {'✓' if oracle.holds else '✗'} {oracle_line(oracle, say)}")
    for path in drawn.values():
        out.print(os.path.relpath(path), soft_wrap=True)


class ProgressOnceSlow:
    """What a study calls with how many parts are done and of how many: a bar, once it has taken two seconds."""

    def __init__(self, name: str) -> None:
        columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TextColumn("·"), TimeRemainingColumn())
        self.bar = Progress(*columns, console=console(), auto_refresh=False, transient=True)
        self.task = self.bar.add_task("")
        self.started, self.shown = time.monotonic(), False

    def __enter__(self) -> ProgressOnceSlow:
        return self

    def __exit__(self, *ended: object) -> None:
        if self.shown:
            self.bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Show how far the study is: `done` of `total` parts."""
        self.bar.update(self.task, completed=done, total=total)
        if self.bar.console.is_terminal and time.monotonic() - self.started > SHOWN_AFTER:
            if not self.shown:
                self.bar.start()
                self.shown = True
            self.bar.refresh()
