"""scripts/dashboard.py: a W&B project's workspace and reports, made or brought up to date, or printed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import yaml

from trainlab.command.arguments import Arguments
from trainlab.configuration.folder import CONF
from trainlab.errors import InputError, RunError
from trainlab.recording.terminal import console

OPTIONS = ("project", "entity")
NOBODY = "ENTITY"  # in what is printed where no entity is named


def dashboard(arguments: Sequence[str]) -> None:
    """Save them, or print what would be sent. Raises InputError and RunError."""
    asked = parse(arguments)
    try:
        from trainlab.pages.dashboards import contents, views
    except ModuleNotFoundError as error:
        raise InputError("scripts/dashboard.py needs wandb-workspaces: pip install -e '.[dashboard]'.") from error
    if asked.print:
        entity = asked.entity or NOBODY
        made = [views.sent(contents.workspace(entity, asked.project))]
        made += [views.sent(report) for report in contents.reports(entity, asked.project)]
        print(json.dumps(made, indent=1, ensure_ascii=False))
        return
    from trainlab.recording.wandb_run import address, has_account, is_reachable

    if not has_account():
        raise InputError("W&B needs an account for this", hint="run `wandb login` first, or add --print to see it all")
    if not is_reachable():
        raise RunError(f"{address()} cannot be reached", hint="add --print to see what would be sent")
    out = console()
    for title, url in views.save(asked.entity, asked.project):
        out.print(f"{title}: {url}", soft_wrap=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """project, entity and print. Raises InputError."""
    project = yaml.safe_load((CONF / "logger/wandb.yaml").read_text(encoding="utf-8"))["project"]
    parser = Arguments(
        prog="python scripts/dashboard.py",
        usage="python scripts/dashboard.py [project=NAME] [entity=NAME] [--print]",
        description="The workspace and the reports of a W&B project; again, it brings the same ones up to date.",
        epilog=f"project=NAME: of W&B ({project}); entity=NAME: user or team that it belongs to (yours).",
    )
    parser.add_argument("words", nargs="*", metavar="option=value", help=argparse.SUPPRESS)
    parser.add_argument("--print", action="store_true", help="print what would be sent, as JSON; needs no account")
    asked = parser.parse_args(list(arguments))
    asked.project, asked.entity = project, None
    for word in asked.words:
        key, _, value = word.partition("=")
        if key not in OPTIONS or not value:
            raise InputError(f"'{word}' is no option of scripts/dashboard.py", hint="use project=NAME or entity=NAME")
        setattr(asked, key, value)
    return asked
