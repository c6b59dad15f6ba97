"""`trainlab.compose` and `trainlab.run`: what train.py does, from a notebook or another program."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf

from trainlab.command.main import (
    RUN_STAMP,
    check_run_dir_free,
    compose_run,
    folder_of,
    footprint_of,
    make_writable,
    new_stamp,
    parse,
    removed_if_temporary,
    taking,
    temporary_run,
    without_hydra,
)
from trainlab.configuration.stored import plain_config
from trainlab.errors import InputError, TakenError
from trainlab.recording.run_directory import CONFIG, OVERRIDES
from trainlab.runtime.process import keep_freed_memory
from trainlab.runtime.room import refuse_more_than_there_is_room_for
from trainlab.survival.atomic import atomic_write
from trainlab.survival.signals import handling_signals, stop_at_once

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback


class Results(dict[str, Any]):
    """What results.json holds, as a dictionary. run_dir: where it is, with the checkpoints and all else that the run
    left.
    """

    def __init__(self, values: dict[str, Any], run_dir: Path) -> None:
        super().__init__(values)
        self.run_dir = run_dir


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """See `trainlab.compose`."""
    return without_hydra(composed(overrides))


def run(
    overrides: Sequence[str] = (),
    *,
    run_dir: str | os.PathLike[str] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Results:
    """See `trainlab.run`."""
    whole = composed(overrides)
    cfg, folder = without_hydra(whole), directory_of(whole, overrides, run_dir)
    processes = cfg.trainer.devices * cfg.trainer.nodes
    if processes != 1:
        raise InputError(
            f"trainlab.run runs in this process, and trainer.devices × trainer.nodes asks for {processes}",
            hint="set both to 1, or run python train.py",
        )
    refuse_more_than_there_is_room_for(cfg.trainer)
    check_run_dir_free(folder, cfg.ckpt, "run_dir")
    temporary = str(folder) if str(whole.hydra.run.dir) == temporary_run(RUN_STAMP) and run_dir is None else ""
    footprint = footprint_of(folder, "run_dir")
    try:
        make_writable(folder, "run_dir")
        with removed_if_temporary(folder, temporary), taking(folder), handling_signals(stop_at_once):
            (folder / CONFIG).parent.mkdir(exist_ok=True)
            atomic_write(folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(plain_config(cfg))))
            atomic_write(folder / OVERRIDES, OmegaConf.to_yaml(OmegaConf.create(list(overrides))))
            return Results(trained(cfg, folder, callbacks), folder)
    except TakenError:
        footprint.restore()
        raise
    except InputError:
        footprint.undo()
        raise


def composed(overrides: Sequence[str]) -> DictConfig:
    """The configuration with Hydra's own part. Raises InputError."""
    if isinstance(overrides, str) or not all(isinstance(word, str) for word in overrides):
        raise InputError(
            f"overrides are a list of texts, such as ['model=mlp', 'seed=1'], and these are {overrides!r}."
        )
    with apart_from_other_hydra():
        return compose_run(list(overrides))


@contextmanager
def apart_from_other_hydra() -> Iterator[None]:
    """Inside, Hydra is as in a new process; afterwards it is as the program around had it, initialised or not."""
    before = Singleton._instances
    own = (GlobalHydra, VersionBase)
    Singleton._instances = {kind: one for kind, one in before.items() if kind not in own}
    try:
        yield
    finally:
        found = {kind: one for kind, one in Singleton._instances.items() if kind not in own}
        Singleton._instances = before
        before.update(found)  # its plug-ins, which need not be looked for again


def directory_of(whole: DictConfig, overrides: Sequence[str], run_dir: str | os.PathLike[str] | None) -> Path:
    """The directory of a run: run_dir, hydra.run.dir=…, or a new one. Raises InputError."""
    if run_dir is None:
        # One process can have many runs, and a command has one: each gets a stamp of its own.
        return folder_of("hydra.run.dir", str(whole.hydra.run.dir).replace(RUN_STAMP, new_stamp()))
    if any(override.key_or_group == "hydra.run.dir" for override in parse(list(overrides))):
        raise InputError("run_dir=… and hydra.run.dir=… both name the run's directory", hint="give one of them")
    if not isinstance(run_dir, str | os.PathLike):
        raise InputError(f"run_dir={run_dir!r} is no folder", option="run_dir", value=run_dir, hint="give its path")
    return folder_of("run_dir", os.fspath(run_dir))


def trained(cfg: DictConfig, folder: Path, callbacks: Sequence[Callback]) -> dict[str, Any]:
    """Run it; torch's threads, the streams of random numbers and the warnings are afterwards as they were."""
    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.utilities.seed import isolate_rng

    from trainlab.training import train

    for callback in [callbacks] if isinstance(callbacks, Callback) else callbacks:
        if not isinstance(callback, Callback) or isinstance(callbacks, Callback):
            raise InputError(
                f"callbacks=[…] takes a list of lightning.pytorch.callbacks.Callback, and this is {callback!r}."
            )
    keep_freed_memory()
    with threads_and_logs_kept(), isolate_rng(), warnings.catch_warnings():
        return train(cfg, folder, callbacks=list(callbacks))


@contextmanager
def threads_and_logs_kept() -> Iterator[None]:
    """Inside, a run may change torch's threads and Lightning's logging; afterwards they are as they were."""
    import torch

    from trainlab.runtime.trainer import LOGGERS

    threads = torch.get_num_threads()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
