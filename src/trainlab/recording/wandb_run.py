"""W&B: on by itself, offline by itself, and never in the way of a run."""

from __future__ import annotations

import functools
import netrc
import os
import secrets
import socket
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlparse

import wandb
from omegaconf import DictConfig, OmegaConf
from wandb import Run

from trainlab.errors import RESUME_ME
from trainlab.recording.point import read_point
from trainlab.recording.run_directory import BEST, CHECKPOINTS, LAST, experiment_of, read_rows
from trainlab.runtime.lean_imports import wandb_without_launch
from trainlab.survival.atomic import atomic_write

if TYPE_CHECKING:
    from trainlab.models.summary import LayerSummary

wandb.util.pd_available = False  # a data frame is told by its type's name, without the import of pandas to compare it

REACH_SECONDS = 3.0  # how long to try for W&B's server before recording offline
FINISH_SECONDS = 30.0  # how long a run that is over waits for its upload; all of it stays on the disk
LONGEST_GROUP = 128  # characters that W&B takes
ID, OFFLINE = Path("wandb/id"), "wandb/offline-run-*"  # in a run's directory
AXES = ("epoch", "images_seen", "seconds")
NEVER = -1


def start(
    run_dir: Path,
    *,
    project: str,
    mode: str,
    tags: Sequence[str],
    config: Mapping[str, Any],
    monitor: str = "val/top1_error",
    job_type: str = "run",
) -> Run | None:
    """A W&B run, or None when W&B cannot even record to disk: a run never fails because of it.

    mode: online, offline or auto, which is online with an account and a network and offline otherwise.
    WANDB_MODE, where it is set, wins. Nothing is ever asked. A run directory has one W&B run: resumed, it goes on
    in that one, and with mode=auto offline while there are records that are not uploaded yet, so that W&B gets them
    in their order. Points of a sweep are a group, with the swept values as flat keys of the configuration, and so are
    runs of one experiment. job_type: of what is no point of a sweep: "run" or "study".
    """
    mode = os.environ.get("WANDB_MODE") or mode
    if mode == "auto" and (_waiting(run_dir) or not is_reachable()):
        mode = "offline"
    if mode in ("auto", "online"):
        mode = "online" if has_account() else "offline"  # without a key wandb.init would ask for one
    os.environ.setdefault("WANDB_SILENT", "true")  # what it has to say is said in one line at the end
    # W&B's reports about itself to its makers: where the server has gone they hold up the end of the process.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    sweep, experiment = read_point(run_dir), experiment_of(run_dir)
    group = sweep.sweep if sweep else experiment
    for attempt in dict.fromkeys([mode, "offline"]):
        try:
            with wandb_without_launch():
                run = wandb.init(
                    project=project,
                    id=identity(run_dir),
                    resume="allow" if attempt == "online" else None,  # offline records of one id become one run
                    name=f"{run_dir.parent.name}/{run_dir.name}" if sweep is None else run_dir.name,
                    group=group[:LONGEST_GROUP] if group else None,
                    job_type="sweep" if sweep else job_type,
                    dir=str(run_dir),
                    mode=attempt,  # type: ignore[arg-type]
                    tags=list(dict.fromkeys([*tags, *([experiment] if experiment else [])])),
                    config=(sweep.swept if sweep else {}) | dict(config),  # model=… leaves model.hidden there
                    settings=_settings(),
                )
            for axis in AXES:
                run.define_metric(axis)
            run.define_metric("*", step_metric="epoch")
            run.define_metric(monitor, step_metric="epoch", summary="min")
            return run
        except Exception as error:  # whatever happens in there, the run goes on
            warnings.warn(f"W&B did not start ({attempt}): {error}", stacklevel=2)
            if wandb.run is None:  # no other run of this process
                with suppress(Exception):
                    wandb.teardown()  # of its service, which would not let go of the run's id
    return None


def start_run(run_dir: Path, cfg: DictConfig) -> Run | None:
    """`start` with what the configuration of a run says."""
    return start(
        run_dir,
        project=cfg.logger.project,
        mode=cfg.logger.mode,
        tags=[cfg[group].name for group in ("model", "data", "optim", "reg", "aug", "loss")],
        config=OmegaConf.to_container(cfg, resolve=True),  # type: ignore[arg-type]
        monitor=cfg.trainer.monitor,
    )


def _settings() -> wandb.Settings:
    """WANDB_FINISH_TIMEOUT, where it is set, wins; 0 would be for ever."""
    patience = os.environ.get("WANDB_FINISH_TIMEOUT") or FINISH_SECONDS
    return wandb.Settings(
        silent=True, console="off", init_timeout=30, finish_timeout=float(patience), finish_timeout_raises=True
    )


def last_recorded(run_dir: Path) -> int:
    """The last epoch that W&B was given from this directory, 0 if it came to none; NEVER before the first `start`."""
    if not (run_dir / ID).exists():
        return NEVER
    rows = read_rows(run_dir)
    return int(rows[-1]["epoch"]) if rows else 0


def identity(run_dir: Path) -> str:
    """The W&B id of the run in this directory: made once, then kept beside its records."""
    kept = run_dir / ID
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
    return keys.authenticators(urlparse(address()).hostname or "") is not None


def is_reachable() -> bool:
    """Whether a connection to the W&B server can be opened within REACH_SECONDS."""
    try:
        socket.create_connection(_server(), timeout=REACH_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


def address() -> str:
    """The W&B server's URL, from the environment or from the user's settings."""
    return os.environ.get("WANDB_BASE_URL") or wandb.Settings().base_url


def _server() -> tuple[str, int]:
    """Raises ValueError for an address without a proper port."""
    server = urlparse(address())
    return server.hostname or "", server.port or (80 if server.scheme == "http" else 443)


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
def log_row(run: Run, row: Mapping[str, float], *, after: int = NEVER) -> None:
    """An epoch's values, and its training time as the axis "seconds".

    after: the last epoch that an offline record has already. A server leaves such rows out by itself.
    """
    if run.offline and row["epoch"] <= after:
        return
    seconds = {"seconds": row["training_seconds"]} if "training_seconds" in row else {}
    run.log({**row, **seconds}, step=int(row["epoch"]))


@_never_in_the_way
def log_layers(run: Run, rows: Sequence[LayerSummary]) -> None:
    """A table, as step 0, which a run that goes on has already."""
    columns: list[str | int] = ["layer", "kernel", "stride", "output", "weights", "biases", "neurons", "connections"]
    cells = [
        [r.name, r.kernel, r.stride, "×".join(map(str, r.output)), r.weights, r.biases, r.neurons, r.connections]
        for r in rows
    ]
    run.log({"layers": wandb.Table(columns=columns, data=cells)}, step=0)


@_never_in_the_way
def log_figures(run: Run, figures: Mapping[str, Path]) -> None:
    """Show the figures at W&B, as figures/NAME. figures: PNG files by name."""
    run.log({f"figures/{name}": wandb.Image(str(path)) for name, path in figures.items()})


@_never_in_the_way
def log_point(run: Run, swept: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    """Log the numbers of a sweep's point and its test in one last row.

    So W&B can draw an error against a number, with a band over the points that share it. swept: value by option.
    """
    numbers = {
        f"swept/{key.replace('.', '_')}": value  # W&B reads a dot as a part of what is before it
        for key, value in swept.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and key != "seed"
    }
    tested = {name: value for name, value in results.items() if name.startswith("test/") and value is not None}
    if numbers:
        run.log(numbers | tested)


@_never_in_the_way
def log_checkpoints(run: Run, files: Sequence[Path], results: Mapping[str, Any]) -> None:
    """One artifact of those of `files` that are there. results: what its metadata say."""
    artifact = wandb.Artifact(f"checkpoints-{run.id}", type="model", metadata=dict(results))
    for file in files:
        if file.is_file():
            artifact.add_file(str(file), policy="immutable")  # no second copy: a finished run writes them no more
    run.log_artifact(artifact)


def log_end(run: Run, run_dir: Path, cfg: DictConfig, results: Mapping[str, Any], figures: Mapping[str, Path]) -> None:
    """What a finished run has beside its rows: figures, the last row of a sweep's point, checkpoints if asked for."""
    log_figures(run, figures)
    if point := read_point(run_dir):
        log_point(run, point.swept, results)
    if cfg.logger.get("checkpoint"):
        log_checkpoints(run, [run_dir / CHECKPOINTS / name for name in (BEST, LAST)], results)


@_never_in_the_way
def finish(run: Run, results: Mapping[str, Any] | None, *, stopped: bool = False) -> str | None:
    """End the W&B run, failed if there are no results; returns a sentence with the command that uploads what W&B has
    not got, None where it has got all.

    stopped: it will go on later. The summary gets the final test values and the best validation value; the seconds of
    the whole run are "total_seconds" in it, beside the axis "seconds".
    """
    if results is not None:
        named = {"total_seconds" if name == "seconds" else name: value for name, value in results.items()}
        run.summary.update({name: value for name, value in named.items() if value is not None})
    elif stopped:
        run.mark_preempting()
    folder = Path(run.dir).parent
    run_dir = folder.parents[1]
    try:
        run.finish(exit_code=0 if results is not None else RESUME_ME if stopped else 1)
    except TimeoutError:
        return (
            "W&B could not be reached at the end; this run is whole on the disk, and to upload it: "
            f"wandb sync --include-online {os.path.relpath(folder)}"
        )
    waiting = _waiting(run_dir)
    if not waiting:
        return None
    records = waiting[0] if len(waiting) == 1 else run_dir / OFFLINE
    return f"W&B recorded offline; to upload: wandb sync {os.path.relpath(records)}"


def _waiting(run_dir: Path) -> list[Path]:
    """The offline records that `wandb sync` has not uploaded."""
    return sorted(folder for folder in run_dir.glob(OFFLINE) if not any(folder.glob("*.synced")))
