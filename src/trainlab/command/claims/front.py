"""scripts/claims.py: all claims as a table, checked anew, written anew."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from difflib import get_close_matches

from trainlab.command.arguments import Arguments
from trainlab.command.claims.check import DIFFERS, HOLDS, Runner, Verdict, check, last_check
from trainlab.command.claims.pages import write_pages
from trainlab.command.claims.table import as_markdown_of_all, in_order, of_all, of_verdict, summary, told
from trainlab.command.claims.update import write_figures
from trainlab.command.main import is_override
from trainlab.configuration.evidence import read_evidence
from trainlab.errors import InputError, RunError
from trainlab.recording.terminal import console


def claims(arguments: Sequence[str]) -> None:
    """See `parse`. Raises InputError, and RunError where a figure differs."""
    options = parse(arguments)
    if options.same:
        from trainlab.command.claims.same import same  # trains

        same(update=options.update is not None)
    elif options.update is not None:
        update_all(options)
    elif options.check is not None:
        verdicts = check_all(options)
        wrong = [verdict.name for verdict in verdicts if verdict.word == DIFFERS]
        if wrong:
            raise RunError(f"not as stated: {', '.join(wrong)}.")
    elif options.write:
        for page in write_pages():
            print(f"written: {os.path.relpath(page)}")
    elif options.markdown:
        print(as_markdown_of_all(), end="")
    else:
        console().print(of_all())


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of scripts/claims.py. Raises InputError."""
    parser = Arguments(
        prog="python scripts/claims.py",
        description="What is claimed, published and measured, in one table; checked by running it anew.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    what.add_argument("--write", action="store_true", help="fill the tables of README and docs with the figures")
    what.add_argument(
        "--check", nargs="*", metavar="NAME", help="run these claims anew (all) and compare; also option=value"
    )
    parser.add_argument(
        "--update", nargs="*", metavar="NAME", help="write the figures of their last check, which is made where none is"
    )
    parser.add_argument("--most", type=float, metavar="SECONDS", help="leave out what costs more")
    parser.add_argument("--same", action="store_true", help="train four small runs and compare their losses")
    parser.add_argument("--machine", default=None, metavar="TEXT", help="with --update: what the figures are of")
    options = parser.parse_args(list(arguments))
    if options.same and (options.check is not None or options.write or options.markdown or options.update):
        raise InputError("--same is a check of its own", hint="leave the rest out, but for --update")
    if options.update is not None and (options.check is not None or options.write or options.markdown):
        raise InputError("--update checks, shows and writes", hint="leave the rest out")
    if options.update == [] and not options.same:
        raise InputError("--update needs the claims whose figures it may write", hint="name them")
    asked = options.check if options.check is not None else options.update or []
    options.names = [word for word in asked if not is_override(word)]
    options.words = [word for word in asked if is_override(word)]
    there = in_order()
    for name in options.names:
        if name not in there:
            near = " or ".join(get_close_matches(name, there))
            hint = f"did you mean {near}? `python scripts/claims.py` lists all"
            raise InputError(f"there is no claim {name}", hint=hint if near else hint.partition("? ")[2])
    return options


def check_all(options: argparse.Namespace, run: Runner | None = None) -> list[Verdict]:
    """Check the claims that were asked for, or all, and print what came out of each."""
    most = math.inf if options.most is None else options.most
    verdicts = []
    for name in options.names or in_order():
        verdict = check(read_evidence(name), words=options.words, most=most, run=run)
        if verdict.figures:
            console().print(of_verdict(verdict))
        verdicts.append(verdict)
    console().print(summary(verdicts))
    return verdicts


def update_all(options: argparse.Namespace, run: Runner | None = None) -> None:
    """Show how the last check of each claim differs, write its figures, and fill the pages. Raises RunError for what
    cannot be checked here.
    """
    for name in options.names:
        evidence = read_evidence(name)
        verdict = last_check(name) or check(evidence, words=options.words, run=run)
        if verdict.word not in (HOLDS, DIFFERS):
            raise RunError(f"{name}: {told(verdict)}.")
        console().print(of_verdict(verdict))
        machine = options.machine or (evidence.conditions.machine if evidence.conditions else "")
        for file in write_figures(evidence, verdict, machine):
            print(f"written: {os.path.relpath(file)}")
    read_evidence.cache_clear()
    for page in write_pages():
        print(f"written: {os.path.relpath(page)}")
