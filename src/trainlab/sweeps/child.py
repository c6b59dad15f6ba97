"""A point of a sweep, in the process that was made for it: a fork of a warm parent that has the imports.

Nothing of one point can leak into another: each fork starts from the same parent, which never trains.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import wait
from pathlib import Path

from trainlab.runtime.lean_imports import import_lightning, import_sklearn
from trainlab.runtime.process import no_garbage_collection

# What a run imports, once for all points. The parent only imports: it must not compute, so that at a fork
# it has no thread but its own (OpenBLAS ends those of numpy and scipy by itself before a fork).
with no_garbage_collection():
    import torch

    import_lightning()  # before anything that would import all of it
    import_sklearn()

    from hydra.types import HydraContext
    from omegaconf import DictConfig

    import trainlab.training  # noqa: F401
    from trainlab.command.main import run_as_job
    from trainlab.runtime.ranks import UNEXPECTED
    from trainlab.survival.signals import die_with_parent

ASKING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)

# A signal to the whole group of processes ends the points, which save; this parent ends with the launcher. Blocked and
# not ignored, so that one that comes to a point before it can hear waits until it can, and SIGHUP is to the points what
# it was to the launcher, ignored or not.
signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)


def run_point(config: DictConfig, context: HydraContext, log: Path, threads: int, environment: dict[str, str]) -> None:
    """Run one point of a sweep as Hydra runs a job, its output going to `log`; ends the process with the run's
    status.
    """

    def work() -> None:
        done = run_as_job(config, context, "hydra.sweep.dir", "hydra.sweep.subdir")
        done.return_value  # noqa: B018 - raises what the run raised

    run_to_its_end(work, log, threads, environment)


def run_to_its_end(work: Callable[[], None], log: Path, threads: int, environment: Mapping[str, str]) -> None:
    """Do the work of this process, a new fork, and end it with the status that the work ended with."""
    status = UNEXPECTED
    try:
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)
        os.setpgid(0, 0)  # Ctrl-C in the terminal reaches the launcher alone, which passes it on
        die_with_parent(os.getppid())
        threading.Thread(target=_end_with_launcher, daemon=True).start()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.environ |= {**environment, "OMP_NUM_THREADS": str(threads)}
        torch.set_num_threads(threads)
        work()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else UNEXPECTED
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _end_with_launcher() -> None:
    """However it dies; the next launcher may start at once."""
    launcher = multiprocessing.parent_process()
    assert launcher is not None
    wait([launcher.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
