"""The fixture that trains."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from whole_runs import Run, command


@pytest.fixture(scope="session")
def train(tmp_path_factory):
    """train("model=mlp", …) runs train.py into a folder of its own; `command` takes the other arguments."""

    def run(*overrides: str, folder: Path | None = None, cold: bool = False, **environment: str) -> Run:
        folder = folder or tmp_path_factory.mktemp("run") / "run"
        done = command("train.py", f"hydra.run.dir={folder}", *overrides, cold=cold, **environment)
        return Run(done.returncode, done.stdout, done.stderr, folder)

    return run


# Under nohup, or in the background of a shell, these are ignored, also in what is started here.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

STARTS = ("os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen")
unit: list[str] = []  # the unit test that is under way


def _no_process(event: str, arguments: tuple) -> None:
    if unit and event in STARTS:
        raise AssertionError(f"{unit[0]} starts a process ({event}); mark it `run` or `process`")


sys.addaudithook(_no_process)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """A unit test starts no process, so that all of them together take less than a minute."""
    if not any(item.get_closest_marker(name) for name in ("run", "process")):
        unit.append(item.nodeid)
    try:
        return (yield)
    finally:
        unit.clear()
