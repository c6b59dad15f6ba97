"""Going on: from which checkpoint, whether anything is left to do, and what is said where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from trainlab.errors import InputError, RunError
from trainlab.recording.run_directory import LAST, PREVIOUS, own_checkpoint, read_results
from trainlab.recording.terminal import console, result_table
from trainlab.survival import checkpoint


def find_checkpoint(cfg: DictConfig, run_dir: Path) -> checkpoint.Saved | None:
    """The checkpoint that the run goes on from: the one that ckpt=… names, or with ckpt=auto the run directory's own,
    if it has one; otherwise None. Raises InputError.
    """
    if cfg.ckpt is None or (cfg.ckpt == "auto" and not own_checkpoint(run_dir)):
        return None
    name = str(run_dir) if cfg.ckpt == "auto" else cfg.ckpt
    resumed = checkpoint.read(name)
    checkpoint.refuse_other_run(resumed, OmegaConf.to_container(cfg, resolve=True), name)  # type: ignore[arg-type]
    if resumed.path.name == PREVIOUS and cfg.ckpt == "auto":
        # The damaged one must not become the one before.
        resumed.path.with_name(LAST).unlink(missing_ok=True)
    elsewhere = resumed.path.parent.parent.resolve() != run_dir.resolve()
    if elsewhere and (resumed.progress.ended or resumed.progress.epochs >= cfg.trainer.max_epochs):
        raise InputError(
            f"ckpt={name} has done {resumed.progress.epochs} epochs already",
            option="ckpt",
            value=name,
            hint="set trainer.max_epochs above that, or test it with scripts/evaluate.py",
        )
    return resumed


def finished(resumed: checkpoint.Saved | None, run_dir: Path) -> dict[str, Any] | None:
    """The results of a run that is asked to go on and has nothing left to do, which is printed; otherwise None."""
    if resumed is None or resumed.path.parent.parent != run_dir:
        return None
    results = read_results(run_dir)
    if results is not None:
        console().print("this run is finished already", result_table(results, run_dir), sep="\n")
    return results


@contextmanager
def going_on(resumed: checkpoint.Saved | None, name: str | None, last: checkpoint.SaveLast) -> Iterator[None]:
    """Inside, an error that a resumed state causes, before anything new was saved, is an InputError.

    Lightning, the optimizer and the callbacks take over whatever the file says. name: what the user called it.
    """
    try:
        yield
    except (InputError, RunError):
        raise
    except Exception as error:
        if resumed is None or last.step is not None:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            f"the run cannot go on from ckpt={name} ({reason})",
            hint="it is damaged or of another version, so use another checkpoint, or start a new run",
        ) from error
