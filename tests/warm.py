"""Python scripts in half the CPU time, without importing torch anew: forks of a parent that has the imports.

`Popen` is used like subprocess.Popen; whole_runs.command and start_command choose between the two. Each process of
pytest has a parent of its own. That imports what runs import and does nothing else: no number is computed, and
trainlab.command, which looks at the clock and at the environment, is not in it, so that a script finds what a new
interpreter finds after those imports. (The garbage collector is told to pass over what the parent has: it would look
through all of it at the end of every script, for more than a second.) The fork has the arguments, folder, environment,
input and output that it is given, a group of processes of its own, and ends as any interpreter ends, but for freeing
what it has imported. When pytest ends, however it ends, the parent kills what it has running and ends.

Start a script cold, with sys.executable, where the test is about

- starting: what is imported, when and by whom; a package that is missing; how long it takes;
- a variable that is read before a line of ours runs (`needs_cold` says so of an environment);
- independence of what the scripts of one parent share, such as the seed of Python's hashes: "the same numbers again"
  says more where one of the two was cold;
- the command line that ps shows: here it is the parent's.

A sweep's points come from a parent of their own (multiprocessing's forkserver), which the sweep starts as a new
interpreter. For a script that is started warm with -m a fork stands by and becomes it (`ForkserverStandingBy`).
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import fcntl
import gc
import json
import multiprocessing.process
import multiprocessing.util
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np

LOOK_SECONDS = 0.005  # how often the parent looks whether a script has ended
ENVIRONMENT = dict(os.environ)  # before the tests, and what they import, add to it; the parent's
# What runs import: first the package itself, which tells OpenMP how to wait before torch loads it. Not what does more
# at its import than define things: threads and CUDA would not survive the fork, and W&B makes a folder, which the first
# script to end would take from the others.
PRELOADED = (
    "trainlab",
    "hydra",
    "torch",
    "trainlab.runtime.lean_imports",  # and Lightning as a run imports it
    "matplotlib.backends.backend_agg",
    "sklearn.datasets",
    "sklearn.model_selection",
    "trainlab.configuration.schema",
    "trainlab.training",
    "trainlab.recording.run_figures",
)
AT_RUN_TIME = ("HYDRA_", "NETRC", "WANDB_")  # the beginnings of variables that no import reads


@cache
def parent() -> socket.socket:
    """The way to the warm parent of this process, which the first call starts."""
    here, there = socket.socketpair()
    with there:  # in a session of its own: Ctrl-C is for pytest
        process = subprocess.Popen(
            [sys.executable, __file__, str(there.fileno()), *PRELOADED],
            pass_fds=[there.fileno()],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    @atexit.register
    def end() -> None:
        here.close()
        process.wait()

    return here


def needs_cold(environment: Mapping[str, str]) -> bool:
    """Whether it differs from the parent's in what the interpreter, an import or a C library may have read."""
    differing = {name for name in {*ENVIRONMENT, *environment} if ENVIRONMENT.get(name) != environment.get(name)}
    return any(not name.startswith(AT_RUN_TIME) for name in differing)


class Popen(subprocess.Popen):
    """words: a script and its arguments. A fork of the warm parent runs it."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        text: bool = False,
    ) -> None:
        super().__init__(words, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, text=text)

    def _execute_child(self, words: Sequence[str], *given: Any) -> None:
        """Where subprocess.Popen, which has made the pipes, forks and execs."""
        cwd, env, pipes = given[4], given[5], given[9:15]  # both ends of stdin, stdout and stderr; −1: not given
        streams = [number if end == -1 else end for number, end in enumerate((pipes[0], pipes[3], pipes[5]))]
        self.reports, there = socket.socketpair()
        with there:
            socket.send_fds(parent(), [b"+"], [*streams, there.fileno()])
        asked = [list(map(str, words)), str(cwd), dict(env)]
        self.reports.sendall(json.dumps(asked).encode() + b"\n")
        self.pid = self._reported()
        self._close_pipe_fds(*pipes)

    def _reported(self) -> int:
        number = self.reports.recv(4)
        assert number, "the warm parent has ended"
        return int.from_bytes(number, "big", signed=True)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self.reports], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = self._reported()
            self.reports.close()
        return self.returncode


def serve(requests: socket.socket) -> str:
    """The parent's life. It returns in the forks, with the script to run."""
    running: dict[int, socket.socket] = {}
    while True:
        for pid in list(running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with running.pop(pid) as reports:
                    report(reports, os.waitstatus_to_exitcode(status))
        if not select.select([requests], [], [], LOOK_SECONDS if running else None)[0]:
            continue
        _, files, *_ = socket.recv_fds(requests, 1, 4)
        if not files:  # pytest has ended
            for pid in running:
                with contextlib.suppress(OSError):  # it has just ended
                    os.killpg(pid, signal.SIGKILL)
            os._exit(0)
        *streams, there = files
        reports = socket.socket(fileno=there)
        pid = fork()
        if not pid:
            for other in (requests, *running.values()):
                other.close()
            return become(reports, streams)
        os.setpgid(pid, pid)
        for file in streams:
            os.close(file)
        running[pid] = reports
        report(reports, pid)


def report(reports: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        reports.send(number.to_bytes(4, "big", signed=True))


def fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy has threads, which it makes anew in a fork
        return os.fork()


def become(reports: socket.socket, streams: list[int]) -> str:
    """Be like the new interpreter that is asked for, from the next line on; returns the script."""
    with reports, reports.makefile() as asked:
        words, folder, environment = json.loads(asked.readline())
    for number, file in enumerate(streams):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    set_by_imports = {name: value for name, value in os.environ.items() if ENVIRONMENT.get(name) != value}
    os.environ.clear()
    os.environ.update(set_by_imports | environment)
    sys.argv, sys.orig_argv = words, [sys.executable, *words]
    sys.path[0] = os.path.dirname(os.path.abspath(words[0]))
    multiprocessing.process.ORIGINAL_DIR = folder  # it was noted at the import
    np.random.seed()  # Python's own generator does so by itself
    return words[0]


class ForkserverStandingBy:
    """A fork from before the script's first line that becomes the forkserver once the script asks for one.

    It stands for the interpreter that multiprocessing.util.spawnv_passfds would start, with the files that are passed
    to that and no others. Where the script never asks, it ends with the script.
    """

    def __init__(self) -> None:
        self.requests, there = socket.socketpair()
        self.spawn = multiprocessing.util.spawnv_passfds
        self.pid = fork()
        if not self.pid:
            self.requests.close()
            self.be_it(there)
        there.close()
        multiprocessing.util.spawnv_passfds = self.start  # type: ignore[attr-defined]

    def start(self, path: str, arguments: Sequence[Any], files: Sequence[int]) -> int:
        code = str(arguments[-1])
        if "multiprocessing.forkserver" not in code:  # the tracker of shared memory
            return self.spawn(path, arguments, files)
        multiprocessing.util.spawnv_passfds = self.spawn  # type: ignore[attr-defined]
        asked = [code, list(files), dict(os.environ)]
        with self.requests:
            socket.send_fds(self.requests, [len(text := json.dumps(asked).encode()).to_bytes(4, "big")], list(files))
            self.requests.sendall(text)
        return self.pid

    def be_it(self, requests: socket.socket) -> None:
        size, files, *_ = socket.recv_fds(requests, 4, 8)
        if not files:  # the script has ended, or become another
            os._exit(0)
        with requests, requests.makefile() as asked:
            code, numbers, environment = json.loads(asked.read(int.from_bytes(size, "big")))
        beyond = [fcntl.fcntl(file, fcntl.F_DUPFD, 1000) for file in files]
        os.closerange(3, 1000)
        for file, number in zip(beyond, numbers, strict=True):
            os.dup2(file, number)
            os.close(file)
        os.environ.clear()
        os.environ.update(environment)
        with open(os.devnull) as nothing:  # as spawnv_passfds gives it
            os.dup2(nothing.fileno(), 0)
        sys.argv = ["-c"]
        status = 0
        try:
            exec(code, {"__name__": "__main__"})
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        finally:
            os._exit(status)


@contextlib.contextmanager
def quick_exit() -> Iterator[None]:
    """End the process here, where nothing was raised but SystemExit: threads are waited for, exit functions run, output
    is flushed. What Python does after that, freeing every object of the parent's imports, takes a third of a second.
    """
    status: Any = 0
    try:
        yield
    except SystemExit as end:
        status = 0 if end.code is None else end.code
    if not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # there is none, or it is closed
            stream.flush()
    os._exit(status & 0xFF)


def run(script: str) -> None:
    """Be its `__main__`. runpy.run_path would take `__main__` away again at the end, and gives relative names."""
    loader = SourceFileLoader("__main__", os.path.abspath(script))
    sys.modules["__main__"] = module = ModuleType("__main__")
    vars(module).update(__file__=loader.path, __loader__=loader, __builtins__=builtins)
    exec(loader.source_to_code(loader.get_data(loader.path), loader.path), vars(module))


if __name__ == "__main__":
    for name in sys.argv[2:]:
        module = import_module(name)
        if name == "trainlab.runtime.lean_imports":
            module.import_lightning()
    gc.freeze()
    script = serve(socket.socket(fileno=int(sys.argv[1])))
    if "-m" in sys.argv[1:]:
        ForkserverStandingBy()
    with quick_exit():
        run(script)
