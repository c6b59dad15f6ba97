"""The ways a run ends badly; each is told to the user in one sentence, never as a traceback."""

from __future__ import annotations

from typing import Any


class ToldError(Exception):
    """One sentence that names the thing, where it was, and what would be right.

    message: the sentence; with a hint, what is before the "; " in it. option and value: what was wrong, as it is named
    on the command line, where it is one option. hint: what to write or do instead, which ends the sentence.
    """

    status = 1

    def __init__(self, message: str, *, option: str | None = None, value: Any = None, hint: str | None = None) -> None:
        if hint is not None:
            message = f"{message}; {hint}" + "." * (not hint.endswith(("…", "?", ".")))
        super().__init__(message)
        self.option, self.value, self.hint = option, value, hint


class InputError(ToldError):
    """What the user asked for cannot be done: exit status 2."""

    status = 2


class RunError(ToldError):
    """The run started rightly and failed: exit status 1."""


RESUME_ME = 75  # EX_TEMPFAIL of sysexits.h: "the user is invited to try again"


class TakenError(InputError):
    """Another command has the directory: exit status 75, for later it can be had."""

    status = RESUME_ME


class StoppedError(BaseException):
    """The run was asked to stop and can go on where it stopped: exit status 75, or 130 after Ctrl-C.

    Raised by signal handlers, so anywhere: not an `Exception`, which much code takes for a failure of its own.
    """

    def __init__(self, message: str, status: int = RESUME_ME) -> None:
        super().__init__(message)
        self.status = status
