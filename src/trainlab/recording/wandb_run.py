"""W&B: on by itself, offline by itself, and never in the way of a run."""

from __future__ import annotations

import functools
import logging
import netrc
import os
import secrets
import socket
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlparse

import wandb
from wandb import Run

from trainlab.errors import RESUME_ME
from trainlab.models.layers import LayerSummary
from trainlab.recording.point import Point
from trainlab.runtime.lean_imports import wandb_without_launch
from trainlab.survival.atomic import atomic_write

wandb.util.pd_available = False  # a data frame is told by its type's name, without the import of pandas to compare it

REACH_SECONDS = 3.0  # how long to try for W&B's server before recording offline
LONGEST_GROUP = 128  # characters that W&B takes


def start(
    run_dir: Path,
    *,
    project: str,
    mode: str,
    tags: Sequence[str],
    config: Mapping[str, Any],
    monitor: str = "val/top1_error",
    sweep: Point | None = None,
    job_type: str = "run",
) -> Run | None:
    """A W&B run, or None when W&B cannot even record to disk: a run never fails because of it.

    mode: online, offline or auto, which is online with an account and a network and offline otherwise.
    WANDB_MODE, where it is set, wins. Nothing is ever asked. A run directory has one W&B run: resumed, it goes on
    in that one. Points of a sweep are a group, with the swept values as flat keys of the configuration. job_type: of
    what is no point of a sweep: "run" or "study".
    """
    mode = os.environ.get("WANDB_MODE") or mode
    if mode == "auto" and not is_reachable():
        mode = "offline"
    if mode in ("auto", "online"):
        mode = "online" if has_account() else "offline"  # without a key wandb.init would ask for one
    os.environ.setdefault("WANDB_SILENT", "true")  # what it has to say is said in one line at the end
    # A library of W&B's closes twice as the process ends, on Python 3.14, and says so.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    for attempt in dict.fromkeys([mode, "offline"]):
        try:
            with wandb_without_launch():
                run = wandb.init(
                    project=project,
                    id=identity(run_dir),
                    resume="allow" if attempt == "online" else None,  # offline records of one id become one run
                    name=f"{run_dir.parent.name}/{run_dir.name}" if sweep is None else run_dir.name,
                    group=sweep.sweep[:LONGEST_GROUP] if sweep else None,
                    job_type="sweep" if sweep else job_type,
                    dir=str(run_dir),
                    mode=attempt,  # type: ignore[arg-type]
                    tags=list(dict.fromkeys(tags)),
                    config=(sweep.swept if sweep else {}) | dict(config),  # model=… leaves model.hidden there
                    settings=wandb.Settings(silent=True, console="off", init_timeout=30),
                )
            for axis in ("epoch", "images_seen"):
                run.define_metric(axis)
            run.define_metric("*", step_metric="epoch")
            run.define_metric(monitor, step_metric="epoch", summary="min")
            return run
        except Exception as error:  # whatever happens in there, the run goes on
            warnings.warn(f"W&B did not start ({attempt}): {error}", stacklevel=2)
    return None


def identity(run_dir: Path) -> str:
    """The W&B id of the run in this directory: made once, then kept beside its records."""
    kept = run_dir / "wandb" / "id"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        atomic_write(kept, secrets.token_hex(4))
    return kept.read_text().strip()


def has_account() -> bool:
    """An API key in the environment or in netrc, where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        keys = netrc.netrc(os.environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError):
        return False
    return keys.authenticators(urlparse(_address()).hostname or "") is not None


def is_reachable() -> bool:
    try:
        socket.create_connection(_server(), timeout=REACH_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


def _address() -> str:
    return os.environ.get("WANDB_BASE_URL") or wandb.Settings().base_url


def _server() -> tuple[str, int]:
    """Raises ValueError for an address without a proper port."""
    address = urlparse(_address())
    return address.hostname or "", address.port or (80 if address.scheme == "http" else 443)


Result = TypeVar("Result")


def _never_in_the_way(log: Callable[..., Result]) -> Callable[..., Result | None]:
    """Whatever goes wrong inside W&B is a warning."""

    @functools.wraps(log)
    def wrapped(*args: Any, **kwargs: Any) -> Result | None:
        try:
            return log(*args, **kwargs)
        except Exception as error:
            warnings.warn(f"W&B could not record: {error}", stacklevel=2)
            return None

    return wrapped


@_never_in_the_way
def log_row(run: Run, row: Mapping[str, float]) -> None:
    """An epoch's values. Rows that W&B has from before a resumption are the same, and it leaves them out."""
    run.log(dict(row), step=int(row["epoch"]))


@_never_in_the_way
def log_layers(run: Run, rows: Sequence[LayerSummary]) -> None:
    columns: list[str | int] = ["layer", "kernel", "stride", "output", "weights", "biases", "neurons", "connections"]
    cells = [
        [r.name, r.kernel, r.stride, "×".join(map(str, r.output)), r.weights, r.biases, r.neurons, r.connections]
        for r in rows
    ]
    run.log(
        {"layers": wandb.Table(columns=columns, data=cells)}, step=0
    )  # a resumed run has it, and its steps, already


@_never_in_the_way
def log_figures(run: Run, figures: Mapping[str, Path]) -> None:
    run.log({f"figures/{name}": wandb.Image(str(path)) for name, path in figures.items()})


@_never_in_the_way
def finish(run: Run, results: Mapping[str, Any] | None, *, stopped: bool = False) -> str | None:
    """End the W&B run, failed if there are no results; returns the command that uploads it, if it is offline.

    stopped: it will go on later. The summary gets the final test values and the best validation value.
    """
    if results is not None:
        run.summary.update({name: value for name, value in results.items() if value is not None})
    elif stopped:
        run.mark_preempting()
    folder = Path(run.dir).parent
    run.finish(exit_code=0 if results is not None else RESUME_ME if stopped else 1)
    return f"wandb sync {os.path.relpath(folder)}" if folder.name.startswith("offline-run") else None
