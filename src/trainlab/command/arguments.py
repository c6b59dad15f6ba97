"""Command lines of the scripts that are no Hydra configurations: a mistake is one sentence there, too."""

from __future__ import annotations

import argparse
from typing import NoReturn

from trainlab.errors import InputError


class Arguments(argparse.ArgumentParser):
    """argparse's parser, with complaints that are InputErrors."""

    def error(self, message: str) -> NoReturn:
        """argparse's own sentence as an InputError, where argparse would end the process."""
        raise InputError(message, hint=f"{self.prog} --help lists what there is")
