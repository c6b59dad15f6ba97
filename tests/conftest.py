"""The fixture that trains."""

from __future__ import annotations

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
