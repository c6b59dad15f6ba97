"""Hydra finds its launchers here: ``hydra/launcher=processes``, the default under ``-m``, and ``slurm``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from trainlab.command import in_sentences


class ProcessesLauncher(Launcher):
    """Every point a fresh process on this machine; conf/hydra/launcher/processes.yaml has the options."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    @in_sentences
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from trainlab.sweeps.launch import Sweep, check_settings
        from trainlab.sweeps.pool import warm_up

        settings = check_settings(self.settings)
        warm_up()
        self.sweep = Sweep(hydra_context, config, settings)

    @in_sentences
    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        setup_globals()
        return self.sweep.launch(job_overrides, initial_job_idx)
