"""The two ways a run ends badly; both are told to the user in one sentence, never as a traceback."""


class InputError(Exception):
    """What the user asked for cannot be done: exit status 2.

    The message is one sentence that names the thing, where it was, and what would be right.
    """


class RunError(Exception):
    """The run started rightly and failed: exit status 1."""
