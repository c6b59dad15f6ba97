"""Several processes of one run: forks of one parent that watches over them.

The parent imports and does nothing else, so that it is safe to fork. Its threads at that moment: those of numpy's and
scipy's OpenBLAS, which OpenBLAS ends before each fork and starts when needed, and in a point of a sweep the one that
waits for the launcher's end (see `sweeps.child`) in a system call, with no lock in its hand.

Lightning's own way runs the command again for each process, which under ``-m`` starts the whole sweep again.
Under torchrun, which starts and watches processes itself, nothing here is needed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, TorchElasticEnvironment

from trainlab.errors import RESUME_ME, InputError, RunError, StoppedError
from trainlab.survival.signals import die_with_parent, handling_signals, resume_hint

GRACE_SECONDS = 10.0  # between the first rank that ends badly and the end of the others
STOP_SECONDS = 90.0  # the same, when they were asked to stop: rank 0 also ends its W&B run
STOPPED = (RESUME_ME, 128 + signal.SIGINT)
UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h: an exception that nobody turned into a sentence


def environment() -> ClusterEnvironment:
    """How Lightning learns its rank. Not what it finds by itself: in a SLURM job it would take over the signals."""
    return TorchElasticEnvironment() if TorchElasticEnvironment.detect() else LightningEnvironment()


def run_ranks(train: Callable[[], Any], *, devices: int, nodes: int, run_dir: Path) -> None:
    """Call `train` in `devices` forks of this process; returns once all have ended well.

    Signals that ask the run to stop are passed on to all. Rank 0 writes to the terminal; what the others have to say
    goes to run_dir/rank_N.log. When one ends badly the others are ended too. Raises StoppedError when one was killed,
    RunError for an error that no rank put into a sentence; for one that rank 0 has told, SystemExit with its status.
    """
    host, port, node = rendezvous(nodes)
    sys.stdout.flush()
    sys.stderr.flush()
    parent, ranks = os.getpid(), {}
    for local in range(devices):
        rank = node * devices + local
        pid = os.fork()
        if pid == 0:
            os.environ |= {"LOCAL_RANK": str(local), "NODE_RANK": str(node)}
            os.environ |= {"MASTER_ADDR": host, "MASTER_PORT": str(port)}
            _be_rank(train, rank, run_dir, parent)
        ranks[pid] = rank
    with handling_signals(pass_on(ranks)):
        ended = watch(ranks)
    for rank in ranks.values():
        log = rank_log(run_dir, rank)
        if log.exists() and not log.stat().st_size:
            log.unlink()
    judge(ended, devices * nodes, run_dir)


def rendezvous(nodes: int) -> tuple[str, int, int]:
    """Address and port at which the ranks find each other, and the number of this machine. Raises InputError where
    several machines are asked for and the environment does not say how they meet.
    """
    if nodes == 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return "127.0.0.1", free.getsockname()[1], 0
    try:
        return os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), int(os.environ["NODE_RANK"])
    except (KeyError, ValueError) as error:
        raise InputError(
            f"trainer.nodes={nodes} needs torchrun, hydra/launcher=slurm, or MASTER_ADDR, MASTER_PORT "
            "and NODE_RANK in the environment",
            option="trainer.nodes",
            value=nodes,
            hint="on one machine leave trainer.nodes at 1",
        ) from error


def rank_log(run_dir: Path, rank: int) -> Path:
    """The file that has what a rank printed."""
    return run_dir / f"rank_{rank}.log"


def _be_rank(train: Callable[[], Any], rank: int, run_dir: Path, parent: int) -> None:
    """Run, and end this process."""
    status = UNEXPECTED
    try:
        os.setpgid(0, 0)  # Ctrl-C in the terminal reaches the parent alone, which passes it on
        die_with_parent(parent)
        log = os.open(rank_log(run_dir, rank), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        if rank:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(log, 2)
        try:
            train()
            status = 0
        except (InputError, RunError, StoppedError) as error:
            print(f"error: {error}", file=sys.stderr)
            status = error.status
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            os.write(log, traceback.format_exc().encode())
            if os.environ.get("HYDRA_FULL_ERROR") == "1":
                traceback.print_exc()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(status)  # what the parent has registered for its own end is not this process's


def pass_on(children: Iterable[int]) -> Callable[[int, FrameType | None], None]:
    """A signal handler: what asks this process to stop goes to its children instead, which save and end."""

    def handler(number: int, frame: FrameType | None) -> None:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

    return handler


def watch(ranks: dict[int, int]) -> list[tuple[int, int]]:
    """Wait for all ranks: (rank, exit status) in the order in which they ended by themselves, −n for a rank that
    signal n killed. ranks: rank by process.
    """
    ended: list[tuple[int, int]] = []
    running, deadline = dict(ranks), float("inf")
    while running:
        for pid in list(running):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                ended.append((running.pop(pid), os.waitstatus_to_exitcode(status)))
        if deadline == float("inf") and any(status for _, status in ended):
            # The others fail too, of the same cause or because nobody answers. Give them time to say so.
            killed = any(status < 0 for _, status in ended)
            asked = any(status in STOPPED for _, status in ended)
            deadline = time.monotonic() + (0 if killed else STOP_SECONDS if asked else GRACE_SECONDS)
        if time.monotonic() >= deadline:
            for pid in running:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            break
        time.sleep(0.02)
    return ended


def judge(ended: list[tuple[int, int]], world_size: int, run_dir: Path) -> None:
    """Turn the ends of all ranks into one: returns if all ended well, else raises the error that says best what
    happened, or SystemExit where rank 0 has said it.
    """
    bad = [(rank, status) for rank, status in ended if status]
    if not bad:
        return
    for rank, status in bad:
        if status < 0:
            raise StoppedError(
                f"process {rank} of {world_size} was killed ({signal.Signals(-status).name}) and the others were ended"
                f"{resume_hint(run_dir)}."
            )
    asked = [status for _, status in bad if status in STOPPED]
    if asked and (0, asked[0]) not in bad:  # rank 0 was not done with saving, or lost the others first
        raise StoppedError(f"the processes were stopped{resume_hint(run_dir)}.", asked[0])
    told = [status for rank, status in bad if rank == 0 and status != UNEXPECTED]
    if told:
        sys.exit(told[0])
    rank, status = bad[0]
    log = rank_log(run_dir, rank)
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    lines = lines or ["it said nothing"]
    sentence = lines[-1].removeprefix("error: ").rstrip(".")
    if status == InputError.status:  # that is all it said, and the log goes with the rest of the mistake
        raise InputError(f"process {rank} of {world_size} failed: {sentence}.")
    raise RunError(
        f"process {rank} of {world_size} failed: {sentence}", hint=f"all it said is in {rank_log(run_dir, rank)}"
    )
