"""``python scripts/study.py NAME [option=value …]``: one study, all of them, or what there is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from rich.table import Table

from trainlab.command.help import first_comment, study_options
from trainlab.command.main import new_stamp
from trainlab.command.studies.options import ALL, COMMON, Asked, known, options_of, parse, studies
from trainlab.command.studies.writing import as_plain, read_results_of, run
from trainlab.configuration.evidence import read_evidence
from trainlab.configuration.folder import CONF
from trainlab.configuration.lecture import command_of_experiment, order
from trainlab.errors import InputError, RunError
from trainlab.recording.terminal import console, duration
from trainlab.survival.signals import handling_signals, stopped


def study(arguments: Sequence[str]) -> None:
    """Run one study or all of them. Raises InputError, and RunError where an oracle does not hold."""
    if not arguments or {"--help", "-h"} & {*arguments}:
        named = [word for word in arguments if not word.startswith("-") and word != ALL]
        print(help_of(known(named[0])) if named else overview())
        return
    asked = parse(arguments)
    if asked.name == ALL:
        with stopping("; the same command goes on with the studies that are not finished"):
            run_all(asked)
        return
    folder = Path(asked.run_dir or f"runs/studies/{asked.name}/{new_stamp()}")
    with stopping(" before the study was finished; the same command starts it again"):
        finding, _ = run(asked, folder)
    for oracle in finding.oracles:
        if not oracle.holds:
            raise RunError(
                f"{asked.name} does not agree with what it is checked against: {oracle.against}: "
                f"{oracle.difference:.3g}, and "
                f"at most {oracle.bound:.3g} is expected."
            )


def stopping(where: str) -> AbstractContextManager[None]:
    """Inside, a signal that asks to stop ends the command with a sentence. where: its end. Raises StoppedError."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise stopped(number, where)

    return handling_signals(stop)


def overview() -> str:
    """All studies in the lecture's order, one line each; then its experiments, which are training runs."""
    lines = ["The lecture's demonstrations.", "", "  python scripts/study.py NAME [option=value …]", ""]
    lines += ["Studies, in the lecture's order", ""]
    lines += [f"  {name:<22} {first_comment(CONF / 'study' / f'{name}.yaml')}" for name in studies()]
    lines += [f"  {ALL:<22} every study above; goes on where it stopped", ""]
    lines += ["Experiments: many training runs each, started with", "", "  python train.py -m experiment=NAME", ""]
    lines += [f"  {name:<22} {first_comment(experiment_file(name))}" for name in experiments()]
    lines += ["", "Options of every study", "", *(f"  {key:<22} {what}" for key, what in COMMON.items())]
    return "\n".join([*lines, "", "python scripts/study.py NAME --help lists a study's own options."])


def help_of(name: str) -> str:
    """One study: what it claims, its source, its cost, what was measured, and its options."""
    from trainlab.command.claims.table import label, text_of  # with what compares figures, which no other study needs

    evidence = read_evidence(name)
    file, cost = evidence.file, "; ".join(filter(None, [f"{evidence.cost_text['en']} on 2 cores", evidence.cost.more]))
    lines = [f"{name}: {first_comment(file)}", "", f"  {'claim':<10} {evidence.claim['en']}"]
    lines += [
        f"  {'heading':<10} {evidence.heading}",
        f"  {'source':<10} {evidence.source['en']}",
        f"  {'cost':<10} {cost}",
    ]
    lines += [f"  {'measured':<10} {evidence.conditions.date if evidence.conditions else 'not yet'}"]
    lines += [f"  {'':<10} {label(evidence, metric)}: {text_of(metric, f)}" for metric, f in evidence.measured.items()]
    lines += [f"  {'':<10} {evidence.remarks}"] if evidence.remarks else []
    lines += ["", f"  python scripts/study.py {name} [option=value …]", ""]
    lines += [f"  {o.name + '=' + o.value:<30} {o.comment}".rstrip() for o in study_options(file)]
    return "\n".join([*lines, "", *(f"  {key + '=…':<30} {what}" for key, what in COMMON.items())])


def experiments() -> list[str]:
    """The experiments that the lecture's order names, in that order."""
    return [name for name in order() if name not in studies() and experiment_file(name).exists()]


def experiment_file(name: str) -> Path:
    """Where conf/ has an experiment of this name, or would have it."""
    return CONF / "experiment" / f"{name}.yaml"


def run_all(asked: Asked) -> None:
    """Every study in the lecture's order, but for those that are finished. Raises RunError where one failed."""
    out, there = console(), studies()
    folder = Path(asked.run_dir or f"runs/studies/all_{asked.lang}")
    lang = (f"lang={asked.lang}",) if asked.lang != "en" else ()
    table = Table(title=f"{len(there)} studies, in {folder}", title_justify="left")
    for head in ("study", "is checked against", "time"):
        table.add_column(head, overflow="fold")
    wrong, trained = [], experiments()
    for name in dict.fromkeys([*order(), *there]):
        if name in trained:
            table.add_row(name, f"experiment: {state_of_experiment(name)}", "")
        if name not in there:
            continue
        one = replace(asked, name=name, options=options_of(name), words=lang, run_dir=None)
        try:
            results = finished(one, folder / name)
            if results is None:
                results = run(one, folder / name)[1]
            else:
                out.print(f"{name} is done: {os.path.relpath(folder / name)}", soft_wrap=True)
            held = sum(key.endswith("/bound") for key in results)
            verdict = f"{held} oracles, all hold" if results["oracles_hold"] else "an oracle does not hold"
            table.add_row(name, verdict, duration(results["seconds"]))
            if not results["oracles_hold"]:
                wrong.append(name)
        except RunError as error:
            out.print(f"{name}: {error}", soft_wrap=True)
            table.add_row(name, f"failed: {error}", "")
            wrong.append(name)
    out.print(table)
    if wrong:
        raise RunError(f"of the studies in {folder}, {', '.join(wrong)} did not come out as expected (see above).")


def finished(asked: Asked, folder: Path) -> dict[str, Any] | None:
    """The results of a study; None where it is not finished. Raises InputError where the folder holds another one."""
    results = read_results_of(folder)
    if results is None:
        return None
    for key, value in {"lang": asked.lang, **{f"option/{k}": as_plain(v) for k, v in asked.options.items()}}.items():
        if results.get(key) != value:
            raise InputError(
                f"{folder} holds this study with {key}={results.get(key)}, not {value}; remove it, or choose another "
                "run_dir=…"
            )
    return results


def state_of_experiment(name: str) -> str:
    """The figures of an experiment, where it has been run and reported; else the command that is next."""
    runs = sorted(Path("runs/sweeps").glob(f"{name}_{'[0-9a-f]' * 6}/sweep.json"))
    if not runs:
        return command_of_experiment(name)
    figures = sorted((runs[-1].parent / "figures").glob("*.png"))
    return ", ".join(map(str, figures)) or f"python scripts/report.py {runs[-1].parent} --table"
