"""Runs the commands that read files on many files, in a process in which nothing may be started, written or fetched.

``python tests/files/guarded.py CASES.json FOLDER`` → a line of JSON for each case: what came of it. Below FOLDER files
may be written, for there the commands are told to write. A forbidden event ends the process with status 99.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

FORBIDDEN = (
    *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.startfile", "os.kill"),
    *("subprocess.Popen", "pty.spawn", "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"),
    *("urllib.Request", "http.client.connect", "ftplib.connect", "smtplib.connect", "webbrowser.open"),
    *("shutil.copyfile", "shutil.move", "shutil.rmtree", "shutil.unpack_archive"),
)
WRITES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate")


def forbid(folder: Path) -> None:
    """From now on, for the whole process: audit hooks cannot be taken away."""

    def is_outside(path: object) -> bool:
        return isinstance(path, str | bytes | os.PathLike) and not Path(os.fsdecode(path)).resolve().is_relative_to(
            folder
        )

    def hook(event: str, arguments: tuple) -> None:
        wrong = event in FORBIDDEN
        if event == "open" and arguments[0] not in (os.devnull, "/dev/null"):
            mode, flags = arguments[1], arguments[2]
            written = any(c in mode for c in "wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            wrong = bool(written) and is_outside(arguments[0])
        if event in WRITES:
            wrong = any(is_outside(argument) for argument in arguments)
        if wrong:
            os.write(2, f"forbidden: {event} {arguments!r}\n{''.join(traceback.format_stack()[-6:])}".encode())
            os._exit(99)

    sys.addaudithook(hook)


def call(command: str, words: list[str]) -> str:
    """ "done", "error: …" for a sentence, or the traceback of what should have been one."""
    from trainlab.errors import InputError, RunError

    commands = {
        "evaluate": ("trainlab.command.evaluation", "evaluate", lambda f: f(words)),
        "predict": ("trainlab.command.prediction", "predict", lambda f: f(words)),
        "report": ("trainlab.sweeps.report", "report", lambda f: f(words)),
        "rerun": ("trainlab.command.rerun", "rerun", lambda f: f(words)),
        "train": ("guarded", "train", lambda f: f(words)),
        "train undrawn": ("guarded", "train_undrawn", lambda f: f(words)),
        "train with curves": ("guarded", "train_with_curves", lambda f: f(words)),
        "packed": ("guarded", "packed", lambda f: f(words[0])),
    }
    module, name, caller = commands[command]
    try:
        function = globals()[name] if module == "guarded" else getattr(__import__(module, fromlist=[name]), name)
        caller(function)
    except (InputError, RunError) as error:
        return f"error: {error}"
    except Exception:
        return traceback.format_exc()
    return "done"


def train(words: list[str]) -> None:
    """A run in this process. words: the run directory, then overrides, with the checkpoint's last."""
    from trainlab.training import train

    overrides, ckpt = (words[1:-1], words[-1]) if words[-1].startswith("ckpt=") else (words[1:], None)
    cfg = composed(*overrides).copy()
    cfg.ckpt = ckpt and ckpt.removeprefix("ckpt=")
    train(cfg, Path(words[0]))


@cache
def composed(*overrides: str) -> Any:
    """What is composed takes as long as a run, and of a hostile checkpoint it says the name alone."""
    from trainlab.command.main import compose_run, without_hydra

    return without_hydra(compose_run(list(overrides)))


def train_undrawn(words: list[str]) -> None:
    """The same without its figures, which take longer than the few steps."""
    from trainlab.recording.recorder import Recorder

    with patch.object(Recorder, "draw", return_value={}):
        train(words)


def train_with_curves(words: list[str]) -> None:
    """The same with the one figure that is of the rows."""
    from trainlab.figures.curves import learning_curves
    from trainlab.figures.style import save
    from trainlab.recording.recorder import Recorder

    def draw(recorder: Recorder, predictions: object) -> dict[str, Path]:
        save(learning_curves(recorder.history.rows, ""), Path(words[0]) / "curves.png")
        return {}

    with patch.object(Recorder, "draw", draw):
        train(words)


def packed(folder: str) -> None:
    """All of a packed set, read."""
    from trainlab.runtime.assembly import source

    cfg = composed("data=imagenet", "model=perceptron", "data.root=there").copy()
    cfg.data.root = folder
    sets = source(cfg, may_fetch=False)()
    assert sets.train.all_images.numel()


def main() -> None:
    sys.dont_write_bytecode = True
    cases = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2]).resolve()
    import trainlab.recording.results
    import trainlab.runtime.assembly

    trainlab.recording.results.commit = lambda: None  # which asks git, whatever the file says
    trainlab.recording.results.MATRIX_SECONDS = 0.0
    trainlab.runtime.assembly.free_memory = lambda: 2e9  # filling all there is takes seconds
    for command, words in cases["well"]:  # what is only imported or cached when it is first used
        came = call(command, words)
        assert came == "done", came
    forbid(folder)
    for command, words in cases["hostile"]:
        print("\n" + json.dumps({"command": command, "words": words, "came": call(command, words)}), flush=True)
    os._exit(0)  # what libraries tidy up at the end is theirs


if __name__ == "__main__":
    main()
