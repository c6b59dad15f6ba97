"""Hydra finds its launchers here: ``hydra/launcher=processes``, the default under ``-m``, ``stacked`` and ``slurm``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from trainlab.command.main import report_user_errors
from trainlab.configuration.schema import check_options

PREFIX = "hydra.launcher."


class _Launcher(Launcher):
    """What they have in common. The heavy imports wait until a sweep is really run."""

    def __init__(self, **settings: Any) -> None:
        self.settings: Any = OmegaConf.to_container(OmegaConf.create(settings))

    @report_user_errors
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from trainlab.sweeps.launch import Sweep

        self.sweep = Sweep(hydra_context, config, self.checked())

    def checked(self) -> Any:
        """The settings of its kind. Raises InputError."""
        raise NotImplementedError

    @report_user_errors
    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        setup_globals()
        return self.sweep.launch(job_overrides, initial_job_idx)


class ProcessesLauncher(_Launcher):
    """Every point a fresh process on this machine; conf/hydra/launcher/processes.yaml has the options."""

    def checked(self) -> Any:
        from trainlab.sweeps.launch import Processes

        return check_options(Processes, self.settings, prefix=PREFIX)


class StackedLauncher(_Launcher):
    """Points whose networks have one shape trained as one; conf/hydra/launcher/stacked.yaml has the options."""

    def checked(self) -> Any:
        from trainlab.sweeps.stacked.launcher import Stacked

        return check_options(Stacked, self.settings, prefix=PREFIX)


class SlurmLauncher(_Launcher):
    """Every point a job of a SLURM cluster; conf/hydra/launcher/slurm.yaml has the options."""

    def checked(self) -> Any:
        from trainlab.sweeps.slurm import Cluster

        return check_options(Cluster, self.settings, prefix=PREFIX)
