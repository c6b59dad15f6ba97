"""The fixture that trains."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

# The processes of pytest are as many as the cores; it is read when torch is imported, also in what is started here.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from whole_runs import DRAWN, UNDRAWN, Run, command


@pytest.fixture(scope="session")
def train(tmp_path_factory):
    """train("model=mlp", …) runs train.py into a folder of its own; `command` takes the other arguments.

    figures: whether the run draws them, as a cold one does.
    """

    def run(
        *overrides: str, folder: Path | None = None, figures: bool = False, cold: bool = False, **environment: str
    ) -> Run:
        folder = folder or tmp_path_factory.mktemp("run") / "run"
        script = DRAWN if figures or cold else UNDRAWN
        done = command(script, f"hydra.run.dir={folder}", *overrides, cold=cold, **environment)
        return Run(done.returncode, done.stdout, done.stderr, folder)

    return run


# Under nohup, or in the background of a shell, these are ignored, also in what is started here.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def undrawn():
    """Runs in this process draw no figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainlab.recording.recorder.Recorder.draw", lambda self, predictions: {})
        yield


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
