"""What every script here does first."""

from __future__ import annotations

import sys
from importlib import import_module

try:
    from trainlab.command.main import report_user_errors
    from trainlab.runtime.process import quick_exit
except ModuleNotFoundError as missing:
    print(
        f"error: {missing.name} is not installed for {sys.executable}; run `bash scripts/train.sh` once, "
        "then use .venv/bin/python (or `source .venv/bin/activate`).",
        file=sys.stderr,
    )
    sys.exit(2)


def start(module: str, function: str, *, usage: str | None = None, lightning: bool = False) -> None:
    """Call a function of the package with the words of the command line, and end the process.

    usage: printed for --help by those that have no options of argparse's. lightning: imported first, and leanly.
    """
    with quick_exit():
        call(module, function, usage, lightning)
        sys.exit()


@report_user_errors
def call(module: str, function: str, usage: str | None, lightning: bool) -> None:
    """What `start` does before the process ends: print the usage where it is asked for, else call the function."""
    if usage and ({"--help", "-h"} & {*sys.argv[1:]}):
        print(usage)
        return
    if lightning:
        from trainlab.runtime.lean_imports import import_lightning

        import_lightning()
    getattr(import_module(module), function)(sys.argv[1:])
