"""The ways a run ends badly; each is told to the user in one sentence, never as a traceback."""


class InputError(Exception):
    """What the user asked for cannot be done: exit status 2.

    The message is one sentence that names the thing, where it was, and what would be right.
    """

    status = 2


class RunError(Exception):
    """The run started rightly and failed: exit status 1."""

    status = 1


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
